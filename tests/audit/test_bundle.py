import json
import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from audit.bundle import LeafRange, stream_bundle, write_bundle
from audit.errors import BundleError, NoteError
from audit.verifier import COMPLETE, COMPLETE_RANGE, INCLUSION, verify_bundle
from tests.audit.bundles import (
    FORGERS_KEY,
    SOURCE,
    make_bodies,
    make_bundle,
    make_note,
    make_proofs,
    make_range,
    make_request,
    make_selection,
    make_vkey,
)

BODIES = make_bodies(600)
REQUEST = make_request(BODIES)


class Pipe:
    """A receiver that can only be written to."""

    def __init__(self) -> None:
        self.received = bytearray()

    def write(self, data: bytes, /) -> int:
        self.received += data
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def read(archive: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(archive)) as files:
        return {name: files.read(name) for name in files.namelist()}


@pytest.mark.parametrize(
    ("size", "first", "end", "result"),
    [
        (0, 0, 0, COMPLETE),
        (1, 0, 1, COMPLETE),
        (255, 0, 255, COMPLETE),
        (256, 0, 256, COMPLETE),
        (257, 0, 257, COMPLETE),
        (600, 0, 600, COMPLETE),
        (600, 0, 599, COMPLETE_RANGE),
        (600, 1, 600, COMPLETE_RANGE),
        (600, 255, 257, COMPLETE_RANGE),
        (600, 256, 512, COMPLETE_RANGE),
        (600, 511, 513, COMPLETE_RANGE),
        (600, 599, 600, COMPLETE_RANGE),
        (1025, 300, 1025, COMPLETE_RANGE),
    ],
)
def test_a_range_is_verified_as_what_it_is(
    size: int, first: int, end: int, result: str, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(make_range(make_bodies(size), first=first, end=end, older_sizes=[size] if size else []))

    report = verify_bundle(path, keys=[make_vkey()])

    assert (report.result, report.exit_code) == (result, 0), report.render()


@pytest.mark.parametrize(
    ("size", "indices"), [(0, []), (600, []), (1, [0]), (600, [0, 255, 256, 599]), (513, range(513))]
)
def test_a_selection_is_verified_as_that(size: int, indices: list[int], tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(make_selection(make_bodies(size), indices, older_sizes=[1, size] if size else []))

    report = verify_bundle(path, keys=[make_vkey()])

    assert (report.result, report.exit_code) == (INCLUSION, 0), report.render()


def test_the_bundle_holds_the_exact_bytes_and_all_that_verifying_takes() -> None:
    files = read(make_range(BODIES, first=2, end=5))

    assert list(files) == [
        "events.jsonl",
        "proofs.jsonl",
        "older.jsonl",
        "names-unproven.jsonl",
        "checkpoint.txt",
        "vkey.txt",
        "manifest.json",
        "README.txt",
        "verifier.py",
    ]
    assert files["events.jsonl"].split(b"\n") == [*BODIES[2:5], b""]
    assert files["checkpoint.txt"].decode() == REQUEST.note
    assert files["vkey.txt"].decode() == f"{REQUEST.vkey}\n"
    assert files["verifier.py"] == SOURCE
    assert json.loads(files["names-unproven.jsonl"]) == {"reference": "pii:1", "name": "Anna Example"}
    assert json.loads(files["manifest.json"]) == {
        "format": "usher-audit-bundle",
        "version": 1,
        "organisation": "org_1",
        "origin": "usher.example/audit/org_1",
        "kind": "range",
        "size": 600,
        "first": 2,
        "end": 5,
        "count": 3,
        "filter": "",
        "created_at": "2026-03-04T05:06:08+00:00",
    }


def test_the_readme_says_what_was_exported_and_what_is_not_proven() -> None:
    whole = read(make_range(BODIES))["README.txt"].decode()
    part = read(make_selection(BODIES, [3, 5]))["README.txt"].decode()

    assert "600 events, all from leaf 0 up to, not including, leaf 600." in whole
    assert "none is missing" in whole
    assert "2 events, those that the filter 'action = user.updated' let through." in part
    assert "none is missing" not in part
    assert "What is not proven: the clear names" in part


def test_the_same_export_gives_the_same_bytes_without_seeking() -> None:
    pipe = Pipe()

    count = write_bundle(
        pipe,
        replace(REQUEST, leaves=LeafRange(0, 600)),
        events=enumerate(BODIES),
        names=[("pii:1", "Anna Example")],
        proofs=make_proofs(BODIES),
    )

    assert count == 600
    assert bytes(pipe.received) == make_range(BODIES)


def test_events_leave_before_the_next_is_asked_for_and_names_come_last() -> None:
    bodies = [
        b'{"v":1,"noise":"%s"}' % number.to_bytes(16, "big").hex().encode() * 50 for number in range(5_000)
    ]
    pipe = Pipe()
    written: list[int] = []

    def give_events() -> Iterator[tuple[int, bytes]]:
        for index, body in enumerate(bodies):
            written.append(len(pipe.received))
            yield index, body

    def give_names() -> Iterator[tuple[str, str]]:
        written.append(-1)
        yield "pii:1", "Anna Example"

    write_bundle(
        pipe, make_request(bodies), events=give_events(), names=give_names(), proofs=make_proofs(bodies)
    )

    assert written[-1] == -1
    assert written[-2] > written[len(bodies) // 2] > 0


@pytest.mark.parametrize(
    ("leaves", "indices"),
    [
        (LeafRange(0, 3), [0, 1]),
        (LeafRange(0, 3), [0, 2]),
        (LeafRange(0, 3), [0, 1, 1]),
        (LeafRange(0, 3), [0, 1, 2, 3]),
        (LeafRange(2, 3), [1]),
        (LeafRange(0, 3), []),
        (None, [1, 1]),
        (None, [2, 1]),
        (None, [5]),
    ],
)
def test_events_that_are_not_those_asked_for_are_refused(
    leaves: LeafRange | None, indices: list[int]
) -> None:
    bodies = make_bodies(6)
    request = replace(make_request(bodies[:5]), leaves=leaves)

    with pytest.raises(BundleError, match=r"out of place|end before"):
        make_bundle(request, bodies, indices)


@pytest.mark.parametrize("leaves", [LeafRange(-1, 3), LeafRange(3, 3), LeafRange(4, 3), LeafRange(0, 601)])
def test_a_range_that_the_log_does_not_have_is_refused(leaves: LeafRange) -> None:
    with pytest.raises(BundleError, match="no leaves"):
        make_bundle(replace(REQUEST, leaves=leaves), BODIES, [])


@pytest.mark.parametrize("older_sizes", [[0], [601], [600, -1]])
def test_a_size_that_the_log_never_had_is_refused(older_sizes: list[int]) -> None:
    with pytest.raises(BundleError, match="did not grow"):
        make_range(BODIES, older_sizes=older_sizes)


def test_a_checkpoint_of_another_organisation_is_refused() -> None:
    with pytest.raises(BundleError, match="not of organisation 'org_2'"):
        make_bundle(replace(REQUEST, organisation="org_2"), BODIES, [])


def test_a_checkpoint_that_the_key_has_not_signed_is_refused() -> None:
    with pytest.raises(NoteError):
        make_bundle(replace(REQUEST, note=make_note(BODIES, key=FORGERS_KEY)), BODIES, [])


def test_a_log_without_events_has_a_bundle() -> None:
    files = read(make_range([]))

    assert files["events.jsonl"] == files["proofs.jsonl"] == b""
    assert json.loads(files["manifest.json"])["count"] == 0


def test_a_bundle_in_chunks_is_the_same_bundle() -> None:
    bodies = [b'{"id":"%d","salt":"%s"}' % (number, os.urandom(200).hex().encode()) for number in range(900)]
    request = replace(make_request(bodies), leaves=LeafRange(0, 900))
    file = BytesIO()
    told = {"names": [("pii:1", "Anna Example")], "proofs": make_proofs(bodies)}

    write_bundle(file, request, events=enumerate(bodies), **told)  # type: ignore[arg-type]  # both of them
    chunks = list(stream_bundle(request, events=enumerate(bodies), **told))  # type: ignore[arg-type]  # as above

    assert b"".join(chunks) == file.getvalue()
    assert len(chunks) > 2


REMOVED = [
    ((0, 600), [(0, 100)], "leaves 0 to 99"),
    ((0, 600), [(0, 600)], "leaves 0 to 599"),
    ((0, 600), [(3, 4), (255, 513)], "leaves 3 to 3, 255 to 512"),
    ((0, 600), [(599, 600)], "leaves 599 to 599"),
    ((100, 400), [(100, 101), (399, 400)], "leaves 100 to 100, 399 to 399"),
]


@pytest.mark.parametrize(("leaves", "removed", "told"), REMOVED)
def test_what_retention_removed_is_named_and_the_rest_is_proven(
    leaves: tuple[int, int], removed: list[tuple[int, int]], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.zip"
    gone = {index for first, end in removed for index in range(first, end)}
    request = replace(
        REQUEST, leaves=LeafRange(*leaves), removed=[LeafRange(*one) for one in removed], older_sizes=[300]
    )
    path.write_bytes(make_bundle(request, BODIES, [one for one in range(*leaves) if one not in gone]))

    report = verify_bundle(path, keys=[make_vkey()], older=make_note(BODIES[:300]))

    assert (report.result, report.exit_code) == (COMPLETE_RANGE, 0), report.render()
    assert f"{len(gone)} events ({told}) are gone" in report.detail
    assert "that it was the retention" in report.render()
    assert "removed by the retention, says" in read(path.read_bytes())["README.txt"].decode()
    assert verify_bundle(path, keys=[make_vkey()], is_complete_demanded=True).exit_code == 1


def test_a_selection_names_what_retention_removed(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    removed = [LeafRange(number, number + 1) for number in range(0, 24, 2)]
    path.write_bytes(make_bundle(replace(REQUEST, removed=removed), BODIES, [100]))

    report = verify_bundle(path, keys=[make_vkey()])

    assert report.result == INCLUSION
    assert "12 events (leaves 0 to 0, " in report.render()
    assert "18 to 18 and 2 more ranges)" in report.render()


@pytest.mark.parametrize(
    ("leaves", "removed"),
    [
        (LeafRange(0, 600), [(5, 5)]),
        (LeafRange(0, 600), [(5, 7), (7, 9)]),
        (LeafRange(0, 600), [(7, 9), (2, 3)]),
        (LeafRange(0, 600), [(599, 601)]),
        (LeafRange(10, 600), [(9, 11)]),
        (None, [(0, 601)]),
    ],
)
def test_removed_leaves_must_be_ranges_within_the_bundle(
    leaves: LeafRange | None, removed: list[tuple[int, int]]
) -> None:
    request = replace(REQUEST, leaves=leaves, removed=[LeafRange(*one) for one in removed])

    with pytest.raises(BundleError, match="no ranges apart from each other"):
        make_bundle(request, BODIES, [])


def test_events_in_a_removed_range_are_out_of_place() -> None:
    request = replace(REQUEST, leaves=LeafRange(0, 600), removed=[LeafRange(2, 4)])

    with pytest.raises(BundleError, match="event 2 is out of place where 4 follows"):
        make_bundle(request, BODIES, range(600))
