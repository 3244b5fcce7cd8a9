"""The sealed log at the command line: proofs, and every way of changing the log found and named."""

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from sqlalchemy.engine import Connection

from audit.checkpoint import parse_checkpoint, verify_note
from audit.tree import layered_nodes, leaf_hash, right_edge, verify_consistency, verify_inclusion
from provisioning.sealing import HEADS_LOG
from service.app import create_app
from service.log_keys import load_log_keys
from service.sealer import Sealer, read_head
from storage.sealed_log import SealedLog
from storage.sealing import SQLSealing
from tests.journeys.shell import ACME, Shell

LEAVES = "SELECT event_row FROM audit_leaf WHERE organisation_id = {log} AND leaf_index = {index}"


class Record:
    """A shell whose log is sealed, and a hand that writes past the service."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        shell.set_up(plan="Pro")
        for _ in range(3):
            # Whoever reads the log writes into it.
            shell.answer("audit", "list")
            shell.answer("audit", "seal")
        self.organisation = shell.state().organisation_id
        self.is_sqlite = shell.settings.is_on_sqlite

    def forge(self, *statements: str) -> None:
        """Write as somebody does who owns the database: without triggers."""
        with self.shell.wiring() as wiring, wiring.database.migrate() as connection:
            self._drop_triggers(connection)
            for statement in statements:
                connection.execute(text(self.fill(statement)))

    def fill(self, statement: str) -> str:
        log = f"'{self.organisation}'" if self.is_sqlite else f"CAST('{self.organisation}' AS uuid)"
        return (
            statement.replace("{log}", log)
            .replace("{row_0}", f"({LEAVES.format(log=log, index=0)})")
            .replace("{row_1}", f"({LEAVES.format(log=log, index=1)})")
            .replace("{row_2}", f"({LEAVES.format(log=log, index=2)})")
        )

    def _drop_triggers(self, connection: Connection) -> None:
        if self.is_sqlite:
            names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for name in connection.execute(text(names)).scalars().all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        else:
            for table in ("audit_event", "audit_leaf", "audit_node", "audit_checkpoint"):
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))

    def found(self, *options: str) -> list[str]:
        """The kinds of differences in the organisation's log; the others are as signed."""
        document = self.verify(*options, code=1)
        own, *others = document["logs"]
        assert not any(one["differences"] for one in others)
        return [one["kind"] for one in own["differences"]]

    def verify(self, *options: str, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = self.shell.json("audit", "verify", *options, code=code)
        return document


@pytest.fixture
def record(either_shell: Shell) -> Record:
    return Record(either_shell)


def test_a_log_as_it_was_sealed_verifies(record: Record) -> None:
    document = record.verify()

    assert document["is_good"]
    assert [log["name"] for log in document["logs"]] == [ACME, "service", "heads"]
    assert all(log["leaves"] for log in document["logs"])
    told = record.shell.answer("audit", "verify", "--all")
    assert f"{ACME}: " in told
    assert "as signed" in told
    assert "Not looked at: a checkpoint kept elsewhere" in told


def test_an_event_is_proven_by_what_is_printed(record: Record) -> None:
    event = record.shell.events()[1][1]["id"]

    proof = record.shell.json("audit", "prove", event)

    vkeys = load_log_keys(record.shell.settings).vkeys
    checkpoint = parse_checkpoint(verify_note(proof["checkpoint"], vkeys).text)
    assert checkpoint.origin == f"usher/audit/{record.organisation}"
    hashes = [b64decode(one) for one in proof["proof"]]
    leaf = leaf_hash(proof["body"].encode())
    assert verify_inclusion(leaf, proof["leaf_index"], checkpoint.size, hashes, checkpoint.root)
    head = parse_checkpoint(verify_note(proof["heads"]["checkpoint"], vkeys).text)
    hashes = [b64decode(one) for one in proof["heads"]["proof"]]
    leaf = leaf_hash(verify_note(proof["checkpoint"], vkeys).text.encode())
    assert verify_inclusion(leaf, proof["heads"]["leaf_index"], head.size, hashes, head.root)
    assert "in the log; verified" in record.shell.answer("audit", "prove", event.upper())


def test_growth_is_proven_by_what_is_printed(record: Record) -> None:
    with record.shell.wiring() as wiring, SQLSealing(wiring.database).read(record.organisation) as log:
        old, *_, new = log.checkpoints()

    proof = record.shell.json("audit", "prove-consistency", str(old.size))

    assert (proof["old"], proof["new"]) == (old.note, new.note)
    hashes = [b64decode(one) for one in proof["proof"]]
    assert verify_consistency(old.size, new.size, old.root, new.root, hashes)
    told = record.shell.answer("audit", "prove-consistency", str(old.size), str(new.size))
    assert f"The first {old.size} of {new.size} events are the older log; verified." in told


def test_what_cannot_be_proven_is_said(record: Record) -> None:
    shell = record.shell
    first, last = (shell.events()[at][1]["id"] for at in (0, -1))
    sizes = [
        parse_checkpoint(shell.json("audit", "prove", first)["checkpoint"].partition("\n\n")[0] + "\n").size
    ]

    assert "there is no event 'x'" in shell.fail(1, "audit", "prove", "x")
    assert "there is no event" in shell.fail(1, "audit", "prove", record.organisation)
    unsealed = shell.events()[-1][1]["id"]
    assert unsealed != last
    assert "no place in the log yet" in shell.fail(1, "audit", "prove", unsealed)
    assert "no checkpoint was signed at 2 events" in shell.fail(1, "audit", "prove", first, "--size", "2")
    shell.answer("audit", "seal")
    assert "came behind the checkpoint" in shell.fail(1, "audit", "prove", unsealed, "--size", str(sizes[0]))
    assert f"number 0 of {sizes[0]}" in shell.answer("audit", "prove", first, "--size", str(sizes[0]))


def test_the_status_tells_who_seals_and_by_which_key(record: Record) -> None:
    status = record.shell.json("audit", "seal-status")

    assert (status["unsealed"], status["lag_seconds"], status["sealer"]) == (0, 0.0, None)
    assert [key["state"] for key in status["keys"]] == ["signs"]
    assert "Key (signs): usher+" in record.shell.answer("audit", "seal-status")


FORGED = "UPDATE audit_event SET body = {other} WHERE id = {row_1}"


def as_bytes(record: Record, body: bytes) -> str:
    return f"x'{body.hex()}'" if record.is_sqlite else f"'\\x{body.hex()}'"


def edit(record: Record) -> str:
    body = record.shell.events()[1][1]
    forged = json.dumps(body | {"outcome": "denied"}).encode()
    return FORGED.replace("{other}", as_bytes(record, forged))


CASES: dict[str, tuple[Callable[[Record], tuple[str, ...]], list[str]]] = {
    "edit": (lambda record: (edit(record),), ["edited"]),
    "edit of a column": (
        lambda record: ("UPDATE audit_event SET action = 'role.granted' WHERE id = {row_1}",),
        ["edited"],
    ),
    "an event moved to another organisation": (
        lambda record: ("UPDATE audit_event SET organisation_id = NULL WHERE id = {row_1}",),
        ["edited"],
    ),
    "delete": (lambda record: ("DELETE FROM audit_event WHERE id = {row_1}",), ["deleted"]),
    "delete with the leaf": (
        lambda record: (
            "DELETE FROM audit_event WHERE id = {row_1}",
            "DELETE FROM audit_leaf WHERE organisation_id = {log} AND leaf_index = 1",
        ),
        ["deleted"],
    ),
    "swap": (
        lambda record: (
            "CREATE TEMPORARY TABLE kept AS SELECT id, body FROM audit_event",
            "UPDATE audit_event SET body = (SELECT body FROM kept WHERE id = {row_2}) WHERE id = {row_1}",
            "UPDATE audit_event SET body = (SELECT body FROM kept WHERE id = {row_1}) WHERE id = {row_2}",
        ),
        ["swapped", "swapped"],
    ),
    "swap of places": (
        lambda record: (
            "UPDATE audit_leaf SET leaf_index = -1 WHERE organisation_id = {log} AND leaf_index = 1",
            "UPDATE audit_leaf SET leaf_index = 1 WHERE organisation_id = {log} AND leaf_index = 2",
            "UPDATE audit_leaf SET leaf_index = 2 WHERE organisation_id = {log} AND leaf_index = -1",
        ),
        ["rewritten", "unsigned_tree"],
    ),
    "cut tail": (
        lambda record: ("DELETE FROM audit_leaf WHERE organisation_id = {log} AND leaf_index > 1",),
        ["cut", "unsigned_tree"],
    ),
    "a changed right edge": (
        lambda record: (
            "UPDATE audit_edge SET size = 1, peaks = "
            "(SELECT leaf FROM audit_leaf WHERE organisation_id = {log} AND leaf_index = 0) "
            "WHERE organisation_id = {log}",
        ),
        ["unsigned_tree"],
    ),
    "another note": (
        lambda record: (
            "UPDATE audit_checkpoint SET root = (SELECT leaf FROM audit_leaf "
            "WHERE organisation_id = {log} AND leaf_index = 0) WHERE organisation_id = {log}",
        ),
        ["rewritten"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_done_to_the_log_is_found_and_named(record: Record, case: str) -> None:
    statements, kinds = CASES[case]

    record.forge(*statements(record))

    found = record.found()
    assert found[: len(kinds)] == kinds
    assert set(found) <= {*kinds, "resigned"}


def test_a_log_signed_anew_by_another_key_is_found(record: Record) -> None:
    """The forger rewrites everything there is in the database, and lacks the key outside of it."""
    forge_whole_log(record, with_own_key=True)

    document = record.verify(code=1)
    assert [{one["kind"] for one in log["differences"]} for log in document["logs"]] == [
        {"resigned"},
        {"resigned"},
        {"resigned", "cut"},
    ]


def test_a_log_signed_anew_by_our_key_is_found_by_a_checkpoint_kept_elsewhere(
    record: Record, tmp_path: Path
) -> None:
    app_note = tmp_path / "kept.txt"
    with record.shell.wiring() as wiring:
        answer = create_app(wiring).test_client().get(f"/audit/{record.organisation}/checkpoint")
        app_note.write_bytes(answer.data)
    assert record.verify("--checkpoint", str(app_note))["is_good"]

    forge_whole_log(record, with_own_key=False)
    record.shell.settings.log_head_file.unlink()
    record.shell.answer("audit", "seal")

    assert record.verify()["is_good"]
    assert record.found("--checkpoint", str(app_note)) == ["forked"]


def forge_whole_log(record: Record, *, with_own_key: bool) -> None:
    """Change one event and have the service seal everything again, from nothing."""
    key_file = record.shell.settings.log_key_file
    kept = key_file.read_bytes()
    head = record.shell.settings.log_head_file.read_bytes()
    if with_own_key:
        key_file.unlink()
    record.forge(
        edit(record),
        *(
            f"DELETE FROM {table}"
            for table in ("audit_leaf", "audit_node", "audit_edge", "audit_checkpoint", "log_key")
        ),
        "UPDATE audit_sealer SET horizon = 0, target = 0, position = 0",
    )
    record.shell.settings.log_head_file.unlink()
    record.shell.answer("db", "upgrade")
    record.shell.answer("audit", "seal")
    key_file.write_bytes(kept)
    record.shell.settings.log_head_file.write_bytes(head)


def test_a_cut_of_everything_is_found_by_what_was_last_signed(record: Record) -> None:
    """Checkpoints and the tree of heads are cut as well, so that the database is whole in itself."""
    shell = record.shell
    with shell.wiring() as wiring, SQLSealing(wiring.database).read(HEADS_LOG) as heads:
        head = heads.checkpoint()
        assert head is not None
    record.forge(f"DELETE FROM audit_checkpoint WHERE head_index = {head.size - 1}")

    document = record.verify(code=1)

    assert "deleted" in {one["kind"] for one in document["logs"][2]["differences"]}
    assert "cut" in {one["kind"] for one in document["logs"][2]["differences"]}


def test_only_keys_that_are_trusted_count(record: Record, tmp_path: Path) -> None:
    shell = record.shell
    (vkey,) = load_log_keys(shell.settings).vkeys
    shell.settings.log_key_file.unlink()

    assert "no signature can be trusted" in shell.fail(1, "audit", "verify")
    assert record.verify("--key", vkey)["is_good"]
    missing, other = tmp_path / "missing", tmp_path / "other"
    other.write_text("no note")
    assert "cannot be read" in shell.fail(3, "audit", "verify", "--key", vkey, "--checkpoint", str(missing))
    assert "cannot be used" in shell.fail(1, "audit", "verify", "--key", vkey, "--checkpoint", str(other))


def test_a_checkpoint_of_another_log_is_refused(record: Record, tmp_path: Path) -> None:
    record.shell.create("Other")
    record.shell.answer("audit", "seal")
    kept = tmp_path / "kept.txt"
    with record.shell.wiring() as wiring, SQLSealing(wiring.database).read(record.organisation) as log:
        checkpoint = log.checkpoint()
        assert checkpoint is not None
        kept.write_text(checkpoint.note)

    said = record.shell.fail(1, "audit", "verify", "-o", "Other", "--checkpoint", str(kept))
    assert "which is not verified here" in said


def test_replaying_the_log_gives_what_the_tables_hold(record: Record) -> None:
    shell = record.shell
    assert "with the grants and seats that the tables hold" in shell.answer("audit", "replay")
    assert shell.json("audit", "replay", "--all")[0]["differences"] == []

    record.forge("UPDATE member SET seat = 'none'")

    told: Result = shell.invoke("audit", "replay")
    assert told.exit_code == 1
    assert "has the seat none, by the log seated" in told.stdout


def test_a_removal_that_no_event_tells_of_is_found(record: Record) -> None:
    record.forge(
        "INSERT INTO audit_removal SELECT organisation_id, 0, 1, sealed_at FROM audit_leaf "
        "WHERE organisation_id = {log} AND leaf_index = 0",
        "DELETE FROM audit_event WHERE id IN ({row_0}, {row_1})",
    )

    assert record.found() == ["deleted"]
    told: Result = record.shell.invoke("audit", "replay")
    assert told.exit_code == 1
    assert "what is kept of the removed events is not what the log says of it" in told.stdout


def test_a_new_key_takes_over_in_steps(record: Record) -> None:
    shell = record.shell
    (old,) = load_log_keys(shell.settings).vkeys
    new = shell.json("audit", "rotate-key")["vkey"]
    assert "is announced and signs as soon" in shell.fail(1, "audit", "rotate-key")
    assert load_log_keys(shell.settings).vkeys == (old, new)
    shell.answer("audit", "seal")
    assert [key["state"] for key in shell.json("audit", "seal-status")["keys"]] == ["signs", "signs"]
    shell.answer("audit", "list")
    shell.answer("audit", "seal")

    assert "Retired: " in shell.answer("audit", "rotate-key", "--retire-old")
    assert "no older key" in shell.answer("audit", "rotate-key", "--retire-old")
    shell.answer("audit", "seal")

    keys = load_log_keys(shell.settings)
    assert (next(iter(keys.signers.values())).vkey, keys.vkeys) == (new, (old, new))
    assert record.verify("--all")["is_good"]
    with shell.wiring() as wiring, SQLSealing(wiring.database).read(record.organisation) as log:
        notes = [one.note for one in log.checkpoints()]
    signers = [len(verify_note(note, [old, new]).signers) for note in notes]
    assert signers == [1, 1, 1, 1, 2, 1]
    states = [
        change["after"]
        for _, body in shell.events()
        if body["action"] == "log.key_rotated"
        for change in body["changes"]
        if change["path"] == "state"
    ]
    assert states == ["announced", "retired"]


def test_an_announcement_that_was_cut_off_is_ended(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = record.shell
    text_before = shell.settings.log_key_file.read_text()
    new = shell.json("audit", "rotate-key")["vkey"]
    text_after = shell.settings.log_key_file.read_text()
    record.forge("DELETE FROM log_key WHERE active_at IS NULL")

    assert shell.json("audit", "rotate-key")["vkey"] == new
    assert shell.settings.log_key_file.read_text() == text_after != text_before


def test_no_key_is_rotated_before_anything_is_signed(either_shell: Shell) -> None:
    either_shell.answer("db", "upgrade")
    assert "nothing has been signed yet" in either_shell.fail(1, "audit", "rotate-key")


def test_a_restored_database_stands_still_until_it_is_declared(record: Record) -> None:
    shell = record.shell
    shell.answer("audit", "list")
    shell.answer("audit", "seal")
    newer = read_head(shell.settings)
    assert newer is not None
    # As after a restore: the database is what it was, and what was signed since is remembered beside it.
    with shell.wiring() as wiring, SQLSealing(wiring.database).read(HEADS_LOG) as heads:
        held = heads.size()
    record.forge(
        f"DELETE FROM audit_checkpoint WHERE head_index IS NULL AND size = {held}",
        f"DELETE FROM audit_checkpoint WHERE head_index = {held - 1}",
        *restore_edges(record),
    )
    shell.answer("audit", "list")

    assert "it was restored from a backup" in shell.fail(3, "audit", "seal")
    told = shell.json("audit", "declare-restore")
    assert told["signed"] == newer.size
    assert told["found"] < newer.size
    shell.answer("audit", "seal")
    assert shell.json("audit", "seal-status")["unsealed"] == 0
    assert shell.events()[-1][1]["action"] == "log.restore_declared"


def restore_edges(record: Record) -> list[str]:
    """Cut the trees back to the sizes that the last checkpoints left say."""
    statements = []
    with record.shell.wiring() as wiring, wiring.database.read() as connection:
        for log, sizes in ((record.organisation, -2), (HEADS_LOG, -2)):
            sealed = SealedLog(wiring.database, connection, log)
            checkpoint = list(sealed.checkpoints())[sizes]
            edge = right_edge(checkpoint.size, layered_nodes(sealed.node, sealed.leaves))
            peaks = as_bytes(record, b"".join(edge.peaks))
            named = f"'{log}'"
            statements += [
                f"UPDATE audit_edge SET size = {edge.size}, peaks = {peaks} WHERE organisation_id = {named}",
                f"DELETE FROM audit_leaf WHERE organisation_id = {named} AND leaf_index >= {edge.size}",
            ]
    return [*statements, "UPDATE audit_sealer SET horizon = 0"]


def test_the_latest_checkpoint_is_for_everybody(record: Record) -> None:
    with record.shell.wiring() as wiring:
        client = create_app(wiring).test_client()
        for log in (record.organisation, record.organisation.upper(), "service", "heads"):
            answer = client.get(f"/audit/{log}/checkpoint")
            assert answer.status_code == 200
            assert answer.content_type == "text/plain; charset=utf-8"
            assert verify_note(answer.text, load_log_keys(record.shell.settings).vkeys).signers
        for log in ("nobody", "00000000-0000-0000-0000-00000000000f"):
            assert client.get(f"/audit/{log}/checkpoint").status_code == 404
        figures = client.get("/metrics").text
    assert "usher_seal_lag_seconds 0.0" in figures
    assert "usher_unsealed_events 0.0" in figures
    assert "usher_replay_differences 0.0" in figures
    assert "usher_checkpoints_total " in figures


def test_the_doctor_looks_at_the_log(record: Record) -> None:
    shell = record.shell
    assert "every event is sealed" in shell.answer("doctor", code=shell.invoke("doctor").exit_code)

    shell.settings.log_key_file.write_text("nonsense\n")
    assert "the log key file cannot be used: line 1 is no key" in shell.invoke("doctor").stdout
    shell.settings.log_key_file.unlink()
    assert "no private key at" in shell.invoke("doctor").stdout


def test_sealers_of_two_processes_share_the_work(record: Record) -> None:
    with record.shell.wiring() as one, record.shell.wiring() as two:
        first, second = Sealer(one, owner="first"), Sealer(two, owner="second")
        record.shell.answer("audit", "list")
        assert first.drain() > 0
        record.shell.answer("audit", "list")
        assert second.drain() == 0
        first.stop()
        assert second.drain() > 0
        second.stop()
    assert record.verify()["is_good"]
