"""The service's key is rotated: by one command, again after a crash, and beside a service that runs."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select, update

from audit.actors import AdminActor
from audit.body import parse_body
from service.key_rotation import rotate_key
from service.opening import open_for_service
from service.wiring import Wiring
from storage.rotation import count_keys
from storage.secrets import load_key_ring
from storage.tables import audit_event, secret
from tests.journeys.exports import BASE
from tests.journeys.shell import Shell

ACTOR = AdminActor("operator:test", is_operator=True)
HQ = (
    "directory",
    "add-ldap",
    "hq",
    "--server",
    "ldaps://ldap.acme.example",
    "--user-base",
    f"ou=people,{BASE}",
)
READER = ("--dialect", "openldap", "--bind-dn", f"cn=reader,{BASE}", "--password-stdin")
ROTATE = ("db", "rotate-key")
OLIVIA = "Olivia Owner"


@pytest.fixture
def shell(either_shell: Shell) -> Shell:
    """An organisation with a directory whose password is sealed, and an owner whose name is."""
    either_shell.set_up()
    assert either_shell.invoke(*HQ, *READER, stdin="hunter2").exit_code == 0
    return either_shell


def key_ids(shell: Shell) -> frozenset[str]:
    return load_key_ring(shell.settings.key_file.read_text(encoding="utf-8")).key_ids


def check_opens(shell: Shell) -> None:
    assert shell.passwords() == {"password": "hunter2"}
    assert OLIVIA in shell.answer("audit", "list")


def key_events(wiring: Wiring) -> list[tuple[str, dict[str, object]]]:
    with wiring.database.read() as connection:
        bodies = connection.execute(
            select(audit_event.c.body)
            .where(audit_event.c.organisation_id.is_(None))
            .order_by(audit_event.c.id)
        )
        found = [parse_body(row[0]) for row in bodies]
    return [
        (body["action"], {change["path"]: change["after"] for change in body["changes"]})
        for body in found
        if body["action"].startswith("key.")
    ]


def test_a_rotated_key_seals_everything_and_the_old_one_is_dropped(shell: Shell) -> None:
    first = shell.settings.key_file.read_text(encoding="utf-8")

    document = shell.json(*ROTATE)

    values = document["values"]
    assert values >= 2
    assert (document["key_id"], document["is_new"], document["still_used"]) == ("k2", True, {})
    assert (document["droppable"], document["broken"]) == (["k1"], [])
    check_opens(shell)
    assert shell.json(*ROTATE, "--drop-old") == {"dropped": ["k1"], "still_used": {}}
    assert key_ids(shell) == {"k2"}
    check_opens(shell)
    assert "There is no key to drop." in shell.answer(*ROTATE, "--drop-old")
    with shell.wiring() as wiring:
        assert key_events(wiring) == [
            ("key.added", {"key_id": "k2"}),
            ("key.rotated", {"key_id": "k2", "values": values}),
            ("key.dropped", {"key_id": "k1"}),
        ]
    told = shell.answer(*ROTATE) + shell.answer(*ROTATE, "--drop-old")
    assert "A fresh key 'k3' seals from now on" in told
    assert "Dropped: 'k2'." in told
    second = shell.settings.key_file.read_text(encoding="utf-8")
    assert first.strip().partition(":")[2] not in told
    assert second.strip().partition(":")[2] not in told


class CutOffError(Exception):
    """A crash between two batches."""


def test_a_rotation_that_was_cut_off_goes_on_by_the_same_key(shell: Shell) -> None:
    def cut_off(values: int) -> None:
        if values:
            raise CutOffError

    with shell.wiring() as wiring, pytest.raises(CutOffError):
        rotate_key(wiring, ACTOR, batch_size=1, after_batch=cut_off)
    check_opens(shell)

    kept = shell.json(*ROTATE, "--drop-old")
    assert kept["dropped"] == []
    assert kept["still_used"]["k1"] >= 1
    assert "Key 'k1' still seals" in shell.answer(*ROTATE, "--drop-old")

    document = shell.json(*ROTATE)
    assert (document["key_id"], document["is_new"]) == ("k2", False)
    assert document["values"] == kept["still_used"]["k1"]
    assert key_ids(shell) == {"k1", "k2"}
    check_opens(shell)


def test_a_value_that_does_not_open_is_told_and_keeps_its_key(shell: Shell) -> None:
    with shell.wiring() as wiring, wiring.database.write() as connection:
        connection.execute(update(secret).values(name="next_password"))

    result = shell.invoke(*ROTATE)

    assert result.exit_code == 1
    assert "stays as it is: a value sealed by key 'k1' does not open" in result.stdout
    assert shell.json(*ROTATE, "--drop-old") == {"dropped": [], "still_used": {"k1": 1}}
    assert "'k3' seals from now on" in shell.answer(*ROTATE, code=1)


def test_a_service_that_runs_follows_on_postgresql_and_keeps_the_file_on_sqlite(shell: Shell) -> None:
    with ExitStack() as stack:
        running = open_for_service(shell.settings, stack)
        if running.database.is_sqlite:
            assert "another Usher service" in shell.fail(3, *ROTATE)
            assert "another Usher service" in shell.fail(3, *ROTATE, "--drop-old")
            assert key_ids(shell) == {"k1"}
            return
        before = running.database.key_ring.seal(b"x", b"place")
        shell.answer(*ROTATE)
        shell.answer(*ROTATE, "--drop-old")
        state = running.store.organisation("Acme Stays")
        assert state is not None
        with running.unit_of_work(state.organisation_id).write() as writer:
            (hq,) = writer.directories()
            assert writer.secret(hq.directory_id, "password") == b"hunter2"
            writer.put_secret(hq.directory_id, "next_password", b"hunter3", running.clock())
        # What it sealed before, and never stored, it can open until it ends.
        assert running.database.key_ring.open(before, b"place") == b"x"
        assert set(count_keys(running.database)) == {"k2"}
    assert shell.passwords() == {"password": "hunter2", "next_password": "hunter3"}


def test_a_key_that_the_first_start_made_is_followed_too(blank_shell: Shell) -> None:
    with ExitStack() as stack:
        running = open_for_service(blank_shell.settings, stack)
        file = blank_shell.settings.key_file
        file.write_text(f"k7:{'A' * 43}=\n{file.read_text(encoding='utf-8')}", encoding="utf-8")

        assert running.database.key_ring.current_id == "k7"


def test_a_ring_from_the_environment_is_rotated_by_hand(shell: Shell, tmp_path: Path) -> None:
    first = shell.settings.key_file.read_text(encoding="utf-8")
    shell.settings.key_file.rename(tmp_path / "moved.key")
    shell.environ["USHER_SECRET_KEY"] = first

    told = shell.fail(1, *ROTATE)
    assert "put a line 'k2:KEY' before the others there" in told

    shell.environ["USHER_SECRET_KEY"] = f"k2:{'A' * 43}=\n{first}"
    document = shell.json(*ROTATE)
    assert (document["key_id"], document["is_new"], document["droppable"]) == ("k2", False, ["k1"])
    refused = shell.fail(1, *ROTATE, "--drop-old")
    assert "nothing needs 'k1' any more" in refused
    assert first.strip().partition(":")[2] not in told + refused
    check_opens(shell)
