"""Damage and forgery of each file of a bundle."""

from base64 import b64encode
from pathlib import Path

import pytest

from audit.tree import RightEdge, leaf_hash
from audit.verifier import COMPLETE, FAILED, INCLUSION, verify_bundle
from tests.audit.bundles import (
    BODIES,
    ORIGIN,
    PART,
    SELECTED,
    WHOLE,
    check,
    edit_lines,
    edit_object,
    encode,
    failure,
    make_note,
    make_selection,
    make_vkey,
    unpack,
)

HASH = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("archive", "name"),
    [
        (archive, name)
        for archive in (WHOLE, PART, SELECTED)
        for name in ("events.jsonl", "proofs.jsonl", "older.jsonl", "checkpoint.txt")
    ],
)
def test_any_byte_changed_added_or_lost_is_found(archive: bytes, name: str, tmp_path: Path) -> None:
    path = unpack(archive, tmp_path / "bundle")
    content = (path / name).read_bytes()
    step = max(1, len(content) // 12)

    for place in [*range(0, len(content), step), len(content) - 1]:
        for forged in (
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
            content[:place] + content[place + 1 :],
            content[:place] + b"0" + content[place:],
        ):
            (path / name).write_bytes(forged)
            assert check(path).result == FAILED, (place, forged[place - 20 : place + 20])
    for forged in (b"", content + b"\n", content + content, content[:-1]):
        (path / name).write_bytes(forged)
        # A bundle need not tell of earlier sizes.
        assert (check(path).result == FAILED) or (name == "older.jsonl" and forged in {b"", content * 2})


@pytest.mark.parametrize(
    "name", ["manifest.json", "events.jsonl", "proofs.jsonl", "checkpoint.txt", "vkey.txt"]
)
def test_a_bundle_without_one_of_its_files_is_refused(whole: Path, name: str) -> None:
    (whole / name).unlink()

    assert failure(whole) == f"{name} is missing; this is no complete bundle"


@pytest.mark.parametrize("name", ["names-unproven.jsonl", "README.txt", "verifier.py", "older.jsonl"])
def test_what_proves_nothing_may_be_absent(whole: Path, name: str) -> None:
    (whole / name).unlink()

    report = check(whole)

    assert report.result == COMPLETE
    assert name not in report.render()


def test_a_file_that_does_not_belong_is_told_to_be_unproven(whole: Path) -> None:
    (whole / "more events\x1b[2K.jsonl").write_bytes(b"")

    assert "not proven   the words of manifest.json, README.txt, more events\ufffd[2K.jsonl, verifier.py" in (
        check(whole).render()
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"format": "another"}, "not of the format usher-audit-bundle, version 1"),
        ({"version": 2}, "not of the format usher-audit-bundle, version 1"),
        ({"size": 601}, f"it is of the log {ORIGIN} at 601, unlike the checkpoint"),
        ({"origin": "usher.example/audit/org_2"}, "unlike the checkpoint"),
        ({"origin": None}, "unlike the checkpoint"),
        ({"organisation": "org_2"}, f"org_2 is not the organisation of {ORIGIN}"),
        ({"organisation": "rg_1"}, f"rg_1 is not the organisation of {ORIGIN}"),
        ({"kind": "selection"}, "proofs.jsonl line 1: its leaf does not follow"),
        ({"kind": "all"}, "neither a selection of events nor a range of leaves"),
        ({"first": 600}, "neither a selection of events nor a range of leaves"),
        ({"end": 601}, "neither a selection of events nor a range of leaves"),
        ({"first": 1}, "events.jsonl line 1: not the event that the log has as leaf 1"),
        ({"end": 599, "count": 599}, "events.jsonl line 600: it is one too many"),
        ({"end": 512, "count": 512}, "proofs.jsonl line 3: it is one too many"),
        ({"first": -1}, "are not all numbers"),
        ({"count": 600.0}, "are not all numbers"),
        ({"count": True}, "are not all numbers"),
        ({"size": "600"}, "are not all numbers"),
        ({"end": 2**63}, "are not all numbers"),
        ({"count": 601}, "it tells of 601 events, there are 600"),
    ],
)
def test_a_manifest_that_does_not_agree_is_found(whole: Path, values: dict[str, object], told: str) -> None:
    edit_object(whole / "manifest.json", **values)

    assert told in failure(whole)


@pytest.mark.parametrize("manifest", [b"", b"[]\n", b"{", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_no_object_is_refused(whole: Path, manifest: bytes) -> None:
    (whole / "manifest.json").write_bytes(manifest)

    assert failure(whole)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"first": 0}, "it does not tell the leaves from 256 up to 512"),
        ({"leaves": HASH}, "it does not tell the leaves from 256 up to 512"),
        ({"leaves": 5}, "it does not tell the leaves from 256 up to 512"),
        ({"proof": []}, "it does not lead to the root of the checkpoint"),
        ({"proof": [HASH, HASH]}, "it does not lead to the root of the checkpoint"),
        ({"proof": ["AAAA", HASH]}, "it does not lead to the root of the checkpoint"),
        ({"proof": {"0": HASH}}, "it does not lead to the root of the checkpoint"),
    ],
)
def test_a_forged_block_is_found(whole: Path, values: dict[str, object], told: str) -> None:
    edit_object(whole / "proofs.jsonl", 1, **values)

    assert failure(whole) == f"proofs.jsonl line 2: {told}"


def test_a_missing_block_is_found(whole: Path) -> None:
    edit_lines(whole / "proofs.jsonl", lambda lines: lines.pop())
    edit_lines(whole / "events.jsonl", lambda lines: lines.__delitem__(slice(512, None)))

    assert failure(whole) == "proofs.jsonl: it ends with leaf 511, the bundle with leaf 599"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"leaf": 0}, "proofs.jsonl line 2: its leaf does not follow leaf 0, or the log has no such leaf"),
        ({"leaf": 600}, "proofs.jsonl line 2: its leaf does not follow leaf 0, or the log has no such leaf"),
        ({"leaf": None}, "proofs.jsonl line 2: its leaf does not follow leaf 0, or the log has no such leaf"),
        ({"leaf": 6}, "events.jsonl line 2: not proven to be leaf 6 of the log"),
        ({"proof": [HASH]}, "events.jsonl line 2: not proven to be leaf 7 of the log"),
    ],
)
def test_a_forged_inclusion_is_found(selected: Path, values: dict[str, object], told: str) -> None:
    edit_object(selected / "proofs.jsonl", 1, **values)

    assert failure(selected) == told


def test_a_selection_may_leave_out_but_not_repeat_or_reorder(selected: Path) -> None:
    for name in ("events.jsonl", "proofs.jsonl"):
        edit_lines(selected / name, lambda lines: lines.pop(2))
    assert failure(selected) == "manifest.json: it tells of 6 events, there are 5"
    edit_object(selected / "manifest.json", count=5)
    assert check(selected).result == INCLUSION

    for name in ("events.jsonl", "proofs.jsonl"):
        edit_lines(selected / name, lambda lines: lines.insert(1, lines.pop(2)))
    assert failure(selected).startswith("proofs.jsonl line 3: its leaf does not follow leaf 255")


@pytest.mark.parametrize(
    ("name", "told"), [("events.jsonl", "missing leaf 599"), ("proofs.jsonl", "no proof")]
)
def test_events_and_proofs_of_a_selection_go_together(selected: Path, name: str, told: str) -> None:
    edit_lines(selected / name, lambda lines: lines.pop())

    assert told in failure(selected)


def test_an_inner_node_is_not_taken_for_an_event(tmp_path: Path) -> None:
    # Given the two children of the root as the body of one event, in a log that claims to have one.
    halves = [RightEdge().append(map(leaf_hash, BODIES[at : at + 256])).root() for at in (0, 256)]
    path = unpack(make_selection(BODIES[:512], [0]), tmp_path / "nodes")
    (path / "events.jsonl").write_bytes(halves[0] + halves[1] + b"\n")
    edit_object(path / "proofs.jsonl", proof=encode([]))

    assert failure(path) == "events.jsonl line 1: not proven to be leaf 0 of the log"


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text",
        "log\n1\n\n",
        "log\n1\n\n— \n",
        "log\n1\n\nnothing\n",
        "log\n1\n\n— usher.example !\n",
        make_note(BODIES)[:-1],
        make_note(BODIES) + "trailing\n",
        make_note(BODIES) + make_note(BODIES).splitlines()[-1] * 2,
        make_note(BODIES) + "— other AAAAAAAA\n" * 200,
    ],
)
def test_what_is_no_signed_checkpoint_is_refused(whole: Path, note: str) -> None:
    (whole / "checkpoint.txt").write_text(note, encoding="utf-8")

    assert failure(whole).startswith("checkpoint.txt: no")


def test_lines_of_witnesses_and_newer_keys_are_tolerated(whole: Path) -> None:
    note = (
        make_note(BODIES)
        + "— witness.example/w1 jWbPPwAAAABkGFDL\n"
        + make_note(BODIES).splitlines()[-1]
        + "\n"
    )
    (whole / "checkpoint.txt").write_text(note, encoding="utf-8")

    assert check(whole).result == COMPLETE


@pytest.mark.parametrize(
    "text",
    [
        "log\n1\n",
        f"log\n01\n{HASH}\n",
        f"log\n-1\n{HASH}\n",
        "log\n1\nAAAA\n",
        "log\n1\n!\n",
        f"log\n0\n{HASH}\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(whole: Path, text: str) -> None:
    signature = make_note(BODIES).splitlines()[-1]
    (whole / "checkpoint.txt").write_text(f"{text}\n{signature}\n", encoding="utf-8")

    report = verify_bundle(whole, keys=[make_vkey()], verify=lambda *_: True)

    assert report.detail.startswith(("checkpoint.txt: no checkpoint", "checkpoint.txt: a log without events"))


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "usher.example",
        "usher.example+00000000+AAAA",
        make_vkey().replace("+", "+0", 1),
        f"x{make_vkey()}",
        "+",
    ],
)
def test_a_key_that_is_none_is_refused(whole: Path, vkey: str) -> None:
    assert "verifier key" in verify_bundle(whole, keys=[vkey]).detail


def test_another_log_than_the_one_expected_is_refused(whole: Path) -> None:
    report = verify_bundle(whole, keys=[make_vkey()], origin="usher.example/audit/org_2")

    assert report.detail == f"checkpoint.txt: it is of the log {ORIGIN}, not of usher.example/audit/org_2"
    assert verify_bundle(whole, keys=[make_vkey()], origin=ORIGIN).result == COMPLETE


def test_a_file_too_large_to_be_honest_is_refused(
    whole: Path,
) -> None:
    with (whole / "checkpoint.txt").open("r+b") as file:
        file.truncate((16 << 20) + 1)

    assert failure(whole) == "checkpoint.txt is too large"


@pytest.mark.parametrize(
    "removed",
    [
        None,
        1,
        {},
        [1],
        [[1]],
        [[1, 2, 3]],
        [["0", "1"]],
        [[True, 2]],
        [[5, 5]],
        [[5, 4]],
        [[3, 4], [1, 2]],
        [[599, 601]],
    ],
)
def test_removed_leaves_that_are_none_are_refused(whole: Path, removed: object) -> None:
    edit_object(whole / "manifest.json", removed=removed)

    assert (
        failure(whole) == "manifest.json: what was removed is not told as ranges of leaves within the bundle"
    )


def test_an_event_that_is_said_to_be_removed_and_is_there_is_found(whole: Path) -> None:
    edit_object(whole / "manifest.json", removed=[[5, 6]])

    assert failure(whole) == "events.jsonl line 6: not the event that the log has as leaf 6"
