"""What the verifier says of whole and of forged bundles, and of an older checkpoint."""

from base64 import b64encode
from pathlib import Path

import pytest

from audit.tree import leaf_hash
from audit.verifier import COMPLETE, COMPLETE_RANGE, INCLUSION, UNPINNED, verify_bundle
from tests.audit.bundles import (
    BODIES,
    FORGERS_KEY,
    ORIGIN,
    check,
    edit_lines,
    edit_object,
    failure,
    make_bodies,
    make_note,
    make_range,
    make_vkey,
    unpack,
)

HASH = b64encode(bytes(32)).decode()


def sign_anew(path: Path, bodies: list[bytes]) -> None:
    (path / "checkpoint.txt").write_text(make_note(bodies), encoding="utf-8")


def test_the_report_names_the_trusted_key_the_log_and_what_is_not_proven(whole: Path) -> None:
    text = check(whole).render()

    assert f"key          {make_vkey()} (trusted, as you gave it)" in text
    assert f"log          {ORIGIN}" in text
    assert "checkpoint   600 events, root " in text
    assert "not proven   names-unproven.jsonl: the clear names" in text
    assert "not proven   the words of manifest.json, README.txt, verifier.py" in text
    assert "that every event that fits the filter" not in text
    assert text.endswith("PASSED complete: all 600 events of the log, from leaf 0 to its end\n")


def test_a_part_of_the_log_is_never_called_complete(part: Path, selected: Path) -> None:
    assert (
        check(part)
        .render()
        .endswith(
            "PASSED complete range: every event of the leaves from 300 up to 520, of 600; "
            "300 before and 80 after them are not in this bundle\n"
        )
    )
    assert (
        check(selected)
        .render()
        .endswith("PASSED inclusion only: these 6 events are in the log; others may have been left out\n")
    )
    assert "not proven   that every event that fits the filter is here" in check(selected).render()


def test_a_key_from_the_bundle_is_no_pass(whole: Path) -> None:
    report = verify_bundle(whole, keys=[])

    assert (report.result, report.exit_code) == (UNPINNED, 4)
    assert report.detail.startswith("would be PASSED complete, but by the bundle's own key")
    assert "(from the bundle itself)" in report.render()


def test_a_bundle_forged_throughout_is_unpinned_at_best(tmp_path: Path) -> None:
    path = unpack(make_range(make_bodies(5), key=FORGERS_KEY), tmp_path / "forged")

    assert verify_bundle(path, keys=[]).result == UNPINNED
    assert failure(path) == f"checkpoint.txt: not signed by {make_vkey()}"
    assert verify_bundle(path, keys=[make_vkey(), make_vkey(FORGERS_KEY)]).result == COMPLETE


# Edit, delete, swap, cut tail, re-sign and fork: each by somebody who can change every file of the bundle.


@pytest.mark.parametrize(("line", "leaf"), [(1, 0), (257, 256), (600, 599)])
def test_an_edited_event_is_found_by_its_line(whole: Path, line: int, leaf: int) -> None:
    edit_lines(whole / "events.jsonl", lambda lines: lines.__setitem__(line - 1, b'{"v":1}\n'))

    assert failure(whole) == f"events.jsonl line {line}: not the event that the log has as leaf {leaf}"


def test_an_edited_event_with_its_leaf_hash_is_found(whole: Path) -> None:
    forged = [*BODIES[:256], b"{}", *BODIES[257:]]
    edit_lines(whole / "events.jsonl", lambda lines: lines.__setitem__(256, b"{}\n"))
    leaves = b64encode(b"".join(map(leaf_hash, forged[256:512]))).decode()
    edit_object(whole / "proofs.jsonl", 1, leaves=leaves)

    assert failure(whole) == "proofs.jsonl line 2: it does not lead to the root of the checkpoint"


def test_a_deleted_event_is_found_by_its_line(whole: Path) -> None:
    edit_lines(whole / "events.jsonl", lambda lines: lines.pop(41))

    assert failure(whole) == "events.jsonl line 42: not the event that the log has as leaf 41"


def test_swapped_events_are_found_by_the_first_line(part: Path) -> None:
    edit_lines(part / "events.jsonl", lambda lines: lines.insert(3, lines.pop(4)))

    assert failure(part) == "events.jsonl line 4: not the event that the log has as leaf 303"


def test_a_cut_tail_is_found(whole: Path) -> None:
    edit_lines(whole / "events.jsonl", lambda lines: lines.pop())

    assert failure(whole) == "events.jsonl line 600: missing as leaf 599"


def test_a_tail_cut_off_with_its_manifest_is_no_complete_log(whole: Path) -> None:
    edit_lines(whole / "events.jsonl", lambda lines: lines.pop())
    edit_object(whole / "manifest.json", end=599, count=599)

    assert check(whole).result == COMPLETE_RANGE
    assert verify_bundle(whole, keys=[make_vkey()], is_complete_demanded=True).detail.startswith(
        "not the whole log: every event of the leaves from 0 up to 599, of 600"
    )


def test_a_tail_cut_off_by_the_service_itself_is_found_by_an_older_checkpoint(tmp_path: Path) -> None:
    path = unpack(make_range(BODIES[:500]), tmp_path / "shorter")

    assert check(path).result == COMPLETE
    assert failure(path, older=make_note(BODIES)) == (
        "the log has 500 events here and 600 in your older checkpoint: its end was cut off"
    )


def test_a_log_rewritten_and_signed_anew_is_found_by_an_older_checkpoint(tmp_path: Path) -> None:
    forged = [*BODIES[:100], b"{}", *BODIES[101:]]
    path = unpack(make_range(forged, older_sizes=[300]), tmp_path / "rewritten")

    assert check(path).result == COMPLETE
    assert failure(path, older=make_note(BODIES[:300])) == (
        "the log was rewritten: it had another root at your checkpoint of 300 events"
    )
    assert check(path, older=make_note(BODIES[:100])).result == COMPLETE


def test_two_heads_of_one_size_are_found(tmp_path: Path) -> None:
    path = unpack(make_range([*BODIES[:-1], b"{}"]), tmp_path / "fork")

    assert failure(path, older=make_note(BODIES)).startswith("the log was rewritten")


def test_a_checkpoint_signed_anew_by_another_key_is_found(whole: Path) -> None:
    (whole / "checkpoint.txt").write_text(make_note(BODIES, key=FORGERS_KEY), encoding="utf-8")

    assert failure(whole).startswith("checkpoint.txt: not signed by")


def test_a_checkpoint_of_other_events_does_not_fit(whole: Path) -> None:
    sign_anew(whole, [*BODIES[:-1], b"{}"])

    assert failure(whole) == "proofs.jsonl line 1: it does not lead to the root of the checkpoint"


# The older checkpoint.


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 300, 511, 512, 599, 600])
def test_the_whole_log_is_compared_with_any_older_checkpoint(whole: Path, size: int) -> None:
    report = check(whole, older=make_note(BODIES[:size]))

    assert report.result == COMPLETE, report.detail
    assert f"ok           the log only grew since your checkpoint of {size} events" in report.render()


@pytest.mark.parametrize("size", [1, 2, 255, 256, 511])
def test_a_whole_log_that_differs_from_an_older_checkpoint_is_found(whole: Path, size: int) -> None:
    older = make_note([*BODIES[: size - 1], b"{}"])

    assert failure(whole, older=older).startswith("the log was rewritten")


@pytest.mark.parametrize("size", [256, 512])
def test_a_range_from_the_start_is_compared_up_to_its_last_block(tmp_path: Path, size: int) -> None:
    path = unpack(make_range(BODIES, end=512), tmp_path / "range")

    assert check(path, older=make_note(BODIES[:size])).result == COMPLETE_RANGE


def test_part_of_a_log_is_compared_where_the_bundle_has_a_proof(part: Path, selected: Path) -> None:
    older = make_note(BODIES[:300])
    forged = make_note([*BODIES[:299], b"{}"])

    assert check(part, older=older).result == COMPLETE_RANGE
    assert check(selected, older=older).result == INCLUSION
    assert failure(part, older=forged).startswith("the log was rewritten")
    assert failure(selected, older=forged).startswith("the log was rewritten")


def test_an_older_checkpoint_that_nothing_leads_from_is_no_pass(selected: Path) -> None:
    assert failure(selected, older=make_note(BODIES[:301])).startswith(
        "nothing in the bundle leads from your checkpoint of 301 events"
    )
    (selected / "older.jsonl").unlink()
    assert failure(selected, older=make_note(BODIES[:300])).startswith("nothing in the bundle leads")


def test_an_older_checkpoint_must_be_of_this_log_and_signed(whole: Path) -> None:
    other = make_note(BODIES[:300], origin="usher.example/audit/org_2")

    assert failure(whole, older=other) == (
        "your older checkpoint is of another log, usher.example/audit/org_2"
    )
    assert failure(whole, older=make_note(BODIES[:300], key=FORGERS_KEY)).startswith(
        "your older checkpoint: not signed by"
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"root": HASH}, "the log of 300 events did not grow into this one"),
        ({"size": 301}, "the log of 301 events did not grow into this one"),
        ({"size": 600}, "the log of 600 events did not grow into this one"),
        ({"proof": []}, "the log of 300 events did not grow into this one"),
        ({"proof": [HASH] * 60}, "the log of 300 events did not grow into this one"),
        ({"proof": None}, "the log of 300 events did not grow into this one"),
        ({"size": 601}, "no size and root of this log"),
        ({"size": 0}, "no size and root of this log"),
        ({"size": True}, "no size and root of this log"),
        ({"root": "!"}, "no size and root of this log"),
        ({"root": None}, "no size and root of this log"),
    ],
)
def test_a_forged_older_size_is_found(whole: Path, values: dict[str, object], told: str) -> None:
    edit_object(whole / "older.jsonl", 1, **values)

    assert failure(whole) == f"older.jsonl line 2: {told}"
