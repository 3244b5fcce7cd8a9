import runpy
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from zipfile import ZipFile

import pytest

import audit.verifier
from audit.tree import RightEdge, leaf_hash
from audit.verifier import (
    COMPLETE,
    COMPLETE_RANGE,
    FAILED,
    INCLUSION,
    UNPINNED,
    Report,
    main,
    verify_bundle,
)
from tests.audit.bundles import (
    FORGERS_KEY,
    ORIGIN,
    SOURCE,
    edit_lines,
    edit_object,
    encode,
    make_bodies,
    make_note,
    make_range,
    make_selection,
    make_vkey,
    unpack,
)

BODIES = make_bodies(600)
WHOLE = make_range(BODIES, older_sizes=[1, 300])
PART = make_range(BODIES, first=300, end=520, older_sizes=[1, 300])
SELECTED = make_selection(BODIES, [0, 7, 8, 255, 256, 599], older_sizes=[1, 300])
HASH = b64encode(bytes(32)).decode()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return unpack(WHOLE, tmp_path / "whole")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return unpack(PART, tmp_path / "part")


@pytest.fixture
def selected(tmp_path: Path) -> Path:
    return unpack(SELECTED, tmp_path / "selected")


def check(path: Path, *, older: str = "") -> Report:
    return verify_bundle(path, keys=[make_vkey()], older=older)


def failure(path: Path, *, older: str = "") -> str:
    report = check(path, older=older)
    assert (report.result, report.exit_code) == (FAILED, 1)
    return report.detail


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


# Damage and forgery of each file.


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


# Archives.


def test_an_archive_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(WHOLE)

    assert check(path).result == COMPLETE
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(WHOLE)
    with ZipFile(path, "a") as archive:
        archive.writestr("events.jsonl", b"another\n")

    assert failure(path) == "a name is in the archive twice"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"

    for forged in (b"", b"PK", WHOLE[:-30], WHOLE[:200] + bytes(20) + WHOLE[220:]):
        path.write_bytes(forged)
        assert failure(path).startswith("the bundle is damaged")


# The command.


def test_the_command_prints_the_report_and_gives_its_code(
    whole: Path, selected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(f"{make_vkey()}\n", encoding="utf-8")
    (tmp_path / "older").write_text(make_note(BODIES[:300]), encoding="utf-8")
    pinned = ["--key", str(tmp_path / "key")]

    assert (
        main([str(whole), *pinned, "--older", str(tmp_path / "older"), "--complete", "--origin", ORIGIN]) == 0
    )
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASSED complete: ")
    assert main([str(selected), "--key", make_vkey()]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASSED inclusion only: ")
    assert main([str(selected), *pinned, "--complete"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAILED: not the whole log: ")
    assert main([str(whole)]) == 4
    assert capsys.readouterr().out.splitlines()[-1].startswith("UNPINNED: would be PASSED complete, ")
    assert main([str(tmp_path / "absent.zip"), *pinned]) == 3
    assert "absent.zip" in capsys.readouterr().err


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bundle.zip", "--trust-me"])

    assert "--trust-me" in capsys.readouterr().err


def test_the_file_is_a_program(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["verifier.py", str(whole), "--key", make_vkey()])

    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(audit.verifier.__file__, run_name="__main__")


def test_the_bundles_own_file_verifies_in_an_empty_directory_with_python_alone(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(WHOLE)
    (tmp_path / "verifier.py").write_bytes(SOURCE)

    done = subprocess.run(
        [sys.executable, "-I", "-S", "verifier.py", "bundle.zip", "--key", make_vkey()],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("PASSED complete: ")
