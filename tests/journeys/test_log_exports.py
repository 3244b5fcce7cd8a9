"""The record exported at the command line, and its bundles verified where there is nothing but Python."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import pytest
from sqlalchemy import text

import audit.verifier
from audit.canonical import canonicalise
from provisioning.sealing import StoredCheckpoint
from service.log_keys import load_log_keys
from storage.sealing import SQLSealing
from tests.journeys.exports import Person, export
from tests.journeys.shell import Shell

PATIENCE_SECONDS = 60


class Verdict(NamedTuple):
    """What the verifier said, elsewhere."""

    code: int
    said: str

    @property
    def last(self) -> str:
        return self.said.splitlines()[-1]


class Auditor:
    """Somebody with a directory of their own: the bundle, the verifier, the key, and no Usher."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key
        folder.mkdir()
        (folder / "verifier.py").write_bytes(Path(audit.verifier.__file__).read_bytes())

    def receive(self, bundle: Path, name: str = "bundle.zip") -> Path:
        place = self.folder / name
        place.write_bytes(bundle.read_bytes())
        return place

    def verify(self, name: str, *options: str, key: str | None = None) -> Verdict:
        pinned = ("--key", self.key if key is None else key)
        done = subprocess.run(
            [sys.executable, "-I", "verifier.py", name, *(pinned if pinned[1] else ()), *options],
            cwd=self.folder,
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Verdict(done.returncode, done.stdout or done.stderr)

    def tamper(self, change: Callable[[dict[str, bytes]], None]) -> Verdict:
        """Change the files of the bundle and verify what comes of it."""
        with ZipFile(self.folder / "bundle.zip") as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        change(contents)
        with ZipFile(self.folder / "forged.zip", "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        return self.verify("forged.zip")


class Record:
    """A company whose log is sealed but for its last events, and an auditor."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        shell.set_up(plan="Pro")
        formula = Person("anna", extra="displayName: =HYPERLINK(1)")
        shell.write_export(export([formula, Person("bo")], {"staff": ["anna", "bo"]}))
        shell.add_directory()
        shell.answer("sync", "run")
        shell.answer("rules", "add", "--group", "staff", "--role", "Member", "--scope", "organisation")
        shell.answer("audit", "seal")
        (key,) = load_log_keys(shell.settings).vkeys
        self.auditor = Auditor(shell.folder / "elsewhere", key)

    @property
    def size(self) -> int:
        return self.checkpoint().size

    def checkpoint(self) -> StoredCheckpoint:
        with self.shell.wiring() as wiring, SQLSealing(wiring.database).read(self.organisation) as log:
            checkpoint = log.checkpoint()
        assert checkpoint is not None
        return checkpoint

    @property
    def organisation(self) -> Any:  # noqa: ANN401 - an id
        return self.shell.state().organisation_id

    def bundle(self, *options: str, name: str = "bundle.zip") -> dict[str, Any]:
        """Export one and hand it over."""
        path = self.shell.folder / name
        told: dict[str, Any] = self.shell.json(
            "audit", "export", "--format", "bundle", "--output", str(path), *options
        )
        content = path.read_bytes()
        assert (told["bytes"], told["sha256"]) == (len(content), sha256(content).hexdigest())
        self.auditor.receive(path, name)
        return told

    def keep_checkpoint(self, name: str = "kept.txt") -> Path:
        path = self.auditor.folder / name
        path.write_text(self.checkpoint().note)
        return path

    def forge(self, *statements: str) -> None:
        """Write as somebody does who owns the database: without triggers."""
        with self.shell.wiring() as wiring, wiring.database.migrate() as connection:
            if self.shell.settings.is_on_sqlite:
                names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
                for name in connection.execute(text(names)).scalars().all():
                    connection.execute(text(f"DROP TRIGGER {name}"))
            else:
                for table in ("audit_event", "audit_leaf", "audit_node", "audit_checkpoint"):
                    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            for statement in statements:
                connection.execute(
                    text(
                        statement.replace(
                            "{row}", f"(SELECT event_row FROM audit_leaf WHERE {self._is_leaf(1)})"
                        )
                    )
                )

    def _is_leaf(self, index: int) -> str:
        return f"organisation_id = '{self.organisation}' AND leaf_index = {index}"


@pytest.fixture
def record(either_shell: Shell) -> Record:
    return Record(either_shell)


def recorded(shell: Shell) -> dict[str, Any]:
    """What the last event says of an export."""
    body = shell.events()[-1][1]
    return {"action": body["action"], "outcome": body["outcome"]} | {
        change["path"]: change["after"] for change in body.get("changes", ())
    }


# The formats that are read


def test_lines_hold_the_exact_bodies_their_places_and_names(record: Record) -> None:
    shell = record.shell
    size = record.size
    shell.answer("audit", "list")
    stored = shell.events()

    lines = shell.answer("audit", "export").splitlines()

    parsed = [json.loads(line) for line in lines]
    assert [one["body"] for one in parsed] == [body for _, body in stored]
    assert all(canonicalise(one["body"]) in line.encode() for one, line in zip(parsed, lines, strict=True))
    assert [one["leaf_index"] for one in parsed] == [*range(size), None]
    assert [one["sealed_at"] is None for one in parsed] == [False] * size + [True]
    names = [named for one in parsed for named in one["names"].values()]
    assert "=HYPERLINK(1)" in {value for named in names for value in named.values()}
    told = recorded(shell)
    assert (told["action"], told["outcome"], told["rows"]) == ("export.downloaded", "success", size + 1)
    assert told["sha256"] == sha256(("\n".join(lines) + "\n").encode()).hexdigest()
    assert shell.events()[-1][1]["cause"].get("parent") == shell.events()[-2][1]["id"]
    assert shell.events()[-2][1]["action"] == "export.created"


def test_csv_holds_no_formula(record: Record) -> None:
    shell = record.shell
    path = shell.folder / "log.csv"

    told = shell.json("audit", "export", "--format", "csv", "--output", str(path))

    content = path.read_bytes()
    assert (told["bytes"], told["sha256"]) == (len(content), sha256(content).hexdigest())
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert len(rows) == told["rows"] == record.size
    assert "'=HYPERLINK(1)" in {row["subject_name_unproven"] for row in rows}
    cells = [cell for row in rows for cell in row.values()]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_ocsf_lines_are_of_sealed_events_and_name_people(record: Record) -> None:
    shell = record.shell
    shell.answer("audit", "list")
    path = shell.folder / "log.ocsf.jsonl"

    told = shell.json("audit", "export", "--format", "ocsf", "--output", str(path))

    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["metadata"]["sequence"] for one in events] == [*range(record.size)]
    assert (told["rows"], told["unsealed"], told["unreadable"]) == (record.size, 1, 0)
    assert "=HYPERLINK(1)" in {one.get("user", {}).get("name") for one in events}
    assert {one["metadata"]["version"] for one in events} == {"1.8.0"}
    shell.answer("audit", "list")
    assert "3 events are not sealed yet and are left out" in shell.answer(
        "audit", "export", "--format", "ocsf", "--output", str(path)
    )


def test_every_format_is_filtered(record: Record) -> None:
    path = record.shell.folder / "out"
    wanted = [body for _, body in record.shell.events() if body["action"].startswith("role.")]

    for format_ in ("jsonl", "csv", "ocsf"):
        command = ("audit", "export", "--format", format_, "--action", "role.", "--output", str(path))
        assert record.shell.json(*command)["rows"] == len(wanted) > 0
        told = recorded(record.shell)
        assert (told["format"], told["filter"]) == (format_, "action=role.")


def test_an_event_that_cannot_be_read_keeps_no_other_back(record: Record) -> None:
    forged = "x'7b7d'" if record.shell.settings.is_on_sqlite else "'\\x7b7d'"
    record.forge(f"UPDATE audit_event SET body = {forged} WHERE id = {{row}}")
    path = record.shell.folder / "out"

    for format_ in ("csv", "ocsf"):
        said = record.shell.answer("audit", "export", "--format", format_, "--output", str(path))
        assert "1 events cannot be told in this format" in said
        assert f"{record.size - 1} events are in" in said


# Files


def test_a_file_is_its_owners_alone_and_appears_whole_or_not_at_all(record: Record) -> None:
    shell = record.shell
    missing, taken = shell.folder / "none" / "log.jsonl", shell.folder / "taken"
    taken.mkdir()
    before = sorted(path.name for path in shell.folder.iterdir())

    said = shell.fail(3, "audit", "export", "--output", str(missing))
    assert "cannot be written: No such file or directory" in said
    assert "is there and is no file" in shell.fail(3, "audit", "export", "--output", str(taken))
    assert "is there and is no file" in shell.fail(3, "audit", "export", "--output", os.devnull)
    loop = shell.folder / "loop"
    loop.symlink_to(loop)
    assert "cannot be written" in shell.fail(3, "audit", "export", "--output", str(loop))
    loop.unlink()
    assert sorted(path.name for path in shell.folder.iterdir()) == before
    assert "export.created" not in {body["action"] for _, body in shell.events()}

    target, link = shell.folder / "log.jsonl", shell.folder / "link"
    link.symlink_to(target)
    shell.answer("audit", "export", "--output", str(link))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in shell.folder.iterdir()) == sorted([*before, "log.jsonl", "link"])


def test_a_wrong_call_says_what_is_wrong(record: Record) -> None:
    shell = record.shell
    assert "there is no organisation 'Nobody'" in shell.fail(1, "audit", "export", "-o", "Nobody")
    assert "--older goes with --format bundle" in shell.fail(2, "audit", "export", "--older", "x")
    bundle = ("audit", "export", "--format", "bundle", "--output", str(shell.folder / "x.zip"))
    assert "cannot be read; name a file" in shell.fail(3, *bundle, "--older", "/nowhere")
    assert "no sealed event is of this period" in shell.fail(1, *bundle, "--until", "2020-01-01")
    shell.create("Empty")
    assert "nothing of this log is sealed yet" in shell.fail(1, *bundle, "-o", "Empty")
    assert not (shell.folder / "x.zip").exists()


# Bundles, verified elsewhere


def test_the_whole_log_is_verified_with_nothing_but_python(record: Record) -> None:
    record.shell.answer("audit", "list")
    kept = record.keep_checkpoint()
    told = record.bundle()

    assert (told["rows"], told["unsealed"], told["proves"]) == (record.size, 1, "PASSED complete")
    verdict = record.auditor.verify("bundle.zip")
    assert (verdict.code, verdict.last.partition(":")[0]) == (0, "PASSED complete")
    assert record.auditor.key in verdict.said
    assert "not proven   names-unproven.jsonl" in verdict.said
    with ZipFile(record.shell.folder / "bundle.zip") as archive:
        assert b"=HYPERLINK(1)" in archive.read("names-unproven.jsonl")
    unpinned = record.auditor.verify("bundle.zip", key="")
    assert (unpinned.code, unpinned.last.partition(":")[0]) == (4, "UNPINNED")

    record.shell.answer("audit", "seal")
    record.bundle()
    later = record.auditor.verify("bundle.zip", "--older", kept.name, "--complete")
    assert later.code == 0
    assert f"the log only grew since your checkpoint of {told['size']} events" in later.said
    recorded_now = recorded(record.shell)
    assert (recorded_now["format"], recorded_now["first"], recorded_now["last"]) == (
        "bundle",
        0,
        record.size - 1,
    )


def test_a_period_is_a_complete_range_and_a_filter_a_selection(record: Record) -> None:
    shell = record.shell
    before = record.size
    moment = shell.events()[-1][1]["time"]
    kept = record.keep_checkpoint()
    for _ in range(2):
        shell.answer("audit", "list")
        shell.answer("audit", "seal")
    later = shell.events()[-1][1]["time"]

    told = record.bundle("--since", later, "--older", str(kept))
    verdict = record.auditor.verify("bundle.zip", "--older", kept.name)
    assert (verdict.code, verdict.last.partition(":")[0]) == (0, "PASSED complete range")
    assert f"{before + 1} before and 0 after them" in verdict.last
    assert (told["first"], told["rows"]) == (before + 1, 1)
    told = record.bundle("--until", later)
    assert "0 before and 1 after them" in record.auditor.verify("bundle.zip").last
    told = record.bundle("--since", moment, "--until", later)
    assert told["last"] == before

    told = record.bundle("--action", "role.", "--since", "1h", "--older", str(kept))
    assert told["proves"] == "PASSED inclusion only"
    verdict = record.auditor.verify("bundle.zip", "--older", kept.name)
    assert (verdict.code, verdict.last.partition(":")[0]) == (0, "PASSED inclusion only")
    assert "not proven   that every event that fits the filter is here" in verdict.said
    assert "not the whole log" in record.auditor.verify("bundle.zip", "--complete").last
    path = shell.folder / "said.zip"
    said = shell.answer("audit", "export", "--format", "bundle", "--action", "role.", "--output", str(path))
    assert "not that no other fits the filter" in said
    said = shell.answer("audit", "export", "--format", "bundle", "--since", later, "--output", str(path))
    assert f"all events from place {before + 1} to {before + 1} of the log's {before + 2}" in said


def lines_of(contents: dict[str, bytes], name: str = "events.jsonl") -> list[bytes]:
    return contents[name].splitlines(keepends=True)


def edit(contents: dict[str, bytes]) -> None:
    lines = lines_of(contents)
    lines[3] = lines[3].replace(b'"outcome":"success"', b'"outcome":"denied"')
    contents["events.jsonl"] = b"".join(lines)


def delete(contents: dict[str, bytes]) -> None:
    lines = lines_of(contents)
    del lines[3]
    contents["events.jsonl"] = b"".join(lines)


def swap(contents: dict[str, bytes]) -> None:
    lines = lines_of(contents)
    lines[3], lines[4] = lines[4], lines[3]
    contents["events.jsonl"] = b"".join(lines)


def cut(contents: dict[str, bytes]) -> None:
    contents["events.jsonl"] = b"".join(lines_of(contents)[:3])


def hide(contents: dict[str, bytes]) -> None:
    """Delete an event and say that the retention did it."""
    delete(contents)
    told = json.loads(contents["manifest.json"])
    contents["manifest.json"] = canonicalise(told | {"count": told["count"] - 1, "removed": [[3, 4]]})


@pytest.mark.parametrize("tampering", [edit, delete, swap, cut])
def test_what_was_done_to_a_bundle_is_found_in_its_line(
    record: Record, tampering: Callable[[dict[str, bytes]], None]
) -> None:
    record.bundle()

    verdict = record.auditor.tamper(tampering)

    assert verdict.code == 1
    told = "missing" if tampering is cut else "not the event that the log has"
    assert verdict.last == f"FAILED: events.jsonl line 4: {told} as leaf 3"


def test_an_event_that_is_said_to_be_removed_makes_the_log_incomplete(record: Record) -> None:
    record.bundle()

    verdict = record.auditor.tamper(hide)

    assert verdict.last.startswith("PASSED complete range: ")
    assert "1 events (leaves 3 to 3) are gone" in verdict.last
    assert record.auditor.verify("forged.zip", "--complete").code == 1


def test_a_log_signed_anew_by_another_key_is_found(record: Record) -> None:
    """The forger has everything but the key: changes an event, and signs all of it with a key of their own."""
    shell = record.shell
    shell.settings.log_key_file.unlink()
    rewrite(record)
    record.bundle()

    verdict = record.auditor.verify("bundle.zip")

    assert verdict.code == 1
    assert verdict.last == f"FAILED: checkpoint.txt: not signed by {record.auditor.key}"
    assert record.auditor.verify("bundle.zip", key="").code == 4


def test_two_histories_of_one_log_are_found_by_an_older_checkpoint(record: Record) -> None:
    """A database restored from a backup goes on in another way, with the right key."""
    kept = record.keep_checkpoint()
    rewrite(record)
    record.bundle()

    assert record.auditor.verify("bundle.zip").code == 0
    verdict = record.auditor.verify("bundle.zip", "--older", kept.name)

    assert verdict.code == 1
    assert verdict.last.startswith("FAILED: the log was rewritten: it had another root at your checkpoint")
    bundle = ("audit", "export", "--format", "bundle", "--output", str(record.shell.folder / "x.zip"))
    said = record.shell.fail(1, *bundle, "--older", str(kept))
    assert "had another root then: it was written anew since" in said


def test_a_checkpoint_that_the_log_has_not_reached_is_found(record: Record) -> None:
    shell = record.shell
    shell.answer("audit", "list")
    shell.answer("audit", "list")
    shell.answer("audit", "seal")
    kept = record.keep_checkpoint()
    rewrite(record, up_to=2)
    record.bundle()

    verdict = record.auditor.verify("bundle.zip", "--older", kept.name)

    assert verdict.code == 1
    assert "its end was cut off" in verdict.last
    bundle = ("audit", "export", "--format", "bundle", "--output", str(shell.folder / "x.zip"))
    assert "its end was cut off" in shell.fail(1, *bundle, "--older", str(kept))
    shell.create("Other")
    shell.answer("audit", "seal")
    assert "is no beginning of this log, which is" in shell.fail(
        1, *bundle, "-o", "Other", "--older", str(kept)
    )


def rewrite(record: Record, up_to: int | None = None) -> None:
    """Change an event, or forget those behind one, and have everything sealed again from nothing."""
    shell = record.shell
    forged = b'{"forged":true}'
    literal = f"x'{forged.hex()}'" if shell.settings.is_on_sqlite else f"'\\x{forged.hex()}'"
    change = f"UPDATE audit_event SET body = {literal} WHERE id = {{row}}"
    if up_to is not None:
        rows = [row for row, _ in shell.events()]
        change = f"DELETE FROM audit_event WHERE id > {rows[up_to]}"
    tables = ("audit_leaf", "audit_node", "audit_edge", "audit_checkpoint", "log_key")
    record.forge(
        change,
        *(f"DELETE FROM {table}" for table in tables),
        "UPDATE audit_sealer SET horizon = 0, target = 0, position = 0",
    )
    shell.settings.log_head_file.unlink()
    shell.answer("db", "upgrade")
    shell.answer("audit", "seal")


def test_an_event_taken_from_the_database_is_found_by_both(record: Record) -> None:
    record.bundle()
    record.forge("DELETE FROM audit_event WHERE id = {row}")

    document = record.shell.json("audit", "verify", code=1)
    assert [one["kind"] for one in document["logs"][0]["differences"]] == ["deleted"]
    bundle = ("audit", "export", "--format", "bundle", "--output", str(record.shell.folder / "x.zip"))
    assert "event 1 is gone, and no retention has removed it" in record.shell.fail(1, *bundle)


def test_an_event_changed_in_the_database_is_found_by_both(record: Record) -> None:
    forged = b'{"forged":true}'
    literal = f"x'{forged.hex()}'" if record.shell.settings.is_on_sqlite else f"'\\x{forged.hex()}'"
    record.forge(f"UPDATE audit_event SET body = {literal} WHERE id = {{row}}")

    document = record.shell.json("audit", "verify", code=1)
    assert [one["kind"] for one in document["logs"][0]["differences"]] == ["edited"]
    record.bundle()
    verdict = record.auditor.verify("bundle.zip")
    assert verdict.last == "FAILED: events.jsonl line 2: not the event that the log has as leaf 1"


def test_what_the_retention_removed_is_told_and_the_rest_is_proven(record: Record) -> None:
    shell = record.shell
    kept = record.keep_checkpoint()
    record.forge(
        "INSERT INTO audit_removal SELECT organisation_id, 0, 1, sealed_at FROM audit_leaf "
        f"WHERE {record._is_leaf(0)}",
        "INSERT INTO audit_removal SELECT organisation_id, 2, 2, sealed_at FROM audit_leaf "
        f"WHERE {record._is_leaf(0)}",
        f"DELETE FROM audit_event WHERE id IN (SELECT event_row FROM audit_leaf WHERE {record._is_leaf(0)})",
        "DELETE FROM audit_event WHERE id = {row}",
    )

    told = record.bundle()
    assert (told["removed"], told["rows"], told["proves"]) == (3, record.size - 3, "PASSED complete range")
    verdict = record.auditor.verify("bundle.zip", "--older", kept.name)
    assert verdict.code == 0
    assert "3 events (leaves 0 to 2) are gone" in verdict.last
    assert "not proven   that it was the retention that removed 3 events" in verdict.said
    path = shell.folder / "said.zip"
    said = shell.answer("audit", "export", "--format", "bundle", "--output", str(path))
    assert "The retention has removed 3 of them; their places are proven all the same." in said
    record.bundle("--action", "role.")
    assert "3 events (leaves 0 to 2)" in record.auditor.verify("bundle.zip").said
