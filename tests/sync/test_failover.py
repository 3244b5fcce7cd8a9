"""Absences count on the server that was read last; after a failover they are in doubt for a while. Case 48."""

from dataclasses import replace

import pytest

from directory.ids import DirectoryId
from provisioning.state import Cursor
from sync.failover import Failover
from tests.builders import World
from tests.scripted_ldap import Proxy
from tests.slapd import Slapd, SlapdFactory
from tests.sync.builders import eid
from tests.sync.ldap_builders import Stored, on_slapd
from tests.sync.ldap_trees import deleted, fill, people, put, run, team, user, user_dn

STAFF, CREW = 50_000, 50_001


@pytest.fixture(scope="module")
def servers(make_slapd: SlapdFactory) -> tuple[Slapd, Slapd]:
    return make_slapd.prepare(), make_slapd.prepare()


@pytest.fixture
def pair(servers: tuple[Slapd, Slapd]) -> tuple[Slapd, Slapd]:
    """A server, and one that lags behind it: by a person, by a membership of another, and by a group."""
    first, behind = servers
    fill(first, people(1, 2, 3), team(STAFF, "staff", 1, 2, 3), team(CREW, "crew", 1, 2))
    fill(behind, people(1, 2), team(STAFF, "staff", 1))
    return first, behind


def on_both(first: Slapd, behind: Slapd, **other: str | int | bool) -> Stored:
    given: Stored = {
        "servers": f"127.0.0.1:{first.port},127.0.0.1:{behind.port}",
        "guard_removed_memberships_percent": 100,
        **other,
    }
    return on_slapd(first, **given)


def cursor_of(world: World, hq: DirectoryId) -> Cursor:
    cursor = world.stored_directory(hq).cursor
    assert cursor is not None
    return cursor


def has_all(world: World, hq: DirectoryId) -> bool:
    """Whether nobody and nothing is removed that the first server has shown."""
    return (
        user(world, hq, 3).active
        and world.in_group(hq, eid(STAFF)) == {eid(1), eid(2), eid(3)}
        and world.in_group(hq, eid(CREW)) == {eid(1), eid(2)}
        and world.group(hq, eid(CREW)).deleted_at is None
    )


@pytest.mark.slapd
def test_a_second_server_that_lags_removes_nobody_and_the_run_says_why(
    world: World, pair: tuple[Slapd, Slapd]
) -> None:
    first, behind = pair
    hq = put(world, on_both(first, behind))
    run(world, hq)
    first.stop()

    record = run(world, hq)

    assert has_all(world, hq)
    assert (record.state, record.method) == ("completed", "full")
    away, read = f"127.0.0.1:{first.port}", f"127.0.0.1:{behind.port}"
    assert record.reason == (
        f"read from {read} instead of {away}, behind which it may lag: who or what is missing there is kept, "
        f"until {away} is read again or for one more complete reading"
    )
    cursor = cursor_of(world, hq)
    assert (cursor.server, cursor.doubted_runs) == (away, 1)
    world.check()


@pytest.mark.slapd
def test_the_first_server_is_believed_at_once_when_it_is_back(
    world: World, pair: tuple[Slapd, Slapd]
) -> None:
    first, behind = pair
    hq = put(world, on_both(first, behind))
    run(world, hq)
    first.stop()
    run(world, hq)
    first.start()
    first.modify(deleted(user_dn(3)))

    record = run(world, hq)

    assert (record.reason, record.counters["users_deactivated"]) == ("", 1)
    assert not user(world, hq, 3).active
    assert world.in_group(hq, eid(STAFF)) >= {eid(1), eid(2)}
    assert world.in_group(hq, eid(CREW)) == {eid(1), eid(2)}
    assert cursor_of(world, hq).doubted_runs == 0
    assert run(world, hq).method == "syncrepl"
    world.check()


@pytest.mark.slapd
@pytest.mark.parametrize("grace", [1, 2])
def test_a_first_server_that_stays_away_is_replaced_after_the_grace(
    world: World, pair: tuple[Slapd, Slapd], grace: int
) -> None:
    first, behind = pair
    hq = put(world, on_both(first, behind, absence_grace_runs=grace))
    run(world, hq)
    first.stop()
    for _ in range(grace):
        record = run(world, hq)
        assert (record.method, has_all(world, hq)) == ("full", True), record.method_reason

    record = run(world, hq)

    assert (record.reason, record.counters["users_deactivated"]) == ("", 1)
    assert "is still in doubt" in record.method_reason
    assert not user(world, hq, 3).active
    # Who is absent keeps the membership for the return.
    assert world.in_group(hq, eid(STAFF)) == {eid(1), eid(3)}
    assert world.group(hq, eid(CREW)).deleted_at is not None
    assert cursor_of(world, hq).server == f"127.0.0.1:{behind.port}"
    assert run(world, hq).method == "syncrepl"
    world.check()


@pytest.mark.slapd
def test_a_reading_that_breaks_off_and_is_made_on_the_next_server_is_in_doubt_too(
    world: World, pair: tuple[Slapd, Slapd]
) -> None:
    first, behind = pair
    with Proxy(first.port, 1 << 40) as proxy:
        servers = f"127.0.0.1:{proxy.port},127.0.0.1:{behind.port}"
        hq = put(world, on_both(first, behind, servers=servers, incremental="off"))
        run(world, hq)
        # The next connection lets the account in, and breaks off behind that.
        proxy.clients, proxy.drop_after = 0, 1_000

        record = run(world, hq)

    assert proxy.clients == 1
    assert record.state == "completed"
    assert "instead of 127.0.0.1" in record.reason
    assert has_all(world, hq)


def judged(world: World, cursor: Cursor, server: str, **settings: int) -> tuple[bool, Cursor]:
    """Whether a reading of the server is in doubt, and the cursor behind it."""
    hq = world.put_directory(kind="ldap", name=world.new_id(), settings=settings)
    directory = replace(world.stored_directory(hq), cursor=cursor)
    failover = Failover(directory)
    failover.note(server)
    return bool(failover.doubt), failover.cursor_after(Cursor(binding={"server": server}))


def test_a_third_server_begins_the_grace_anew(world: World) -> None:
    first = Cursor(server="one", binding={"server": "one"})
    at_two, behind_two = judged(world, first, "two", absence_grace_runs=2)
    again_two, behind_again = judged(world, behind_two, "two", absence_grace_runs=2)

    at_three, behind_three = judged(world, behind_again, "three", absence_grace_runs=2)

    assert (at_two, again_two, at_three) == (True, True, True)
    assert (behind_again.doubted_runs, behind_three.doubted_runs) == (2, 1)
    assert behind_three.server == "one"


def test_the_first_reading_of_all_is_in_no_doubt(world: World) -> None:
    assert judged(world, Cursor(), "one") == (False, Cursor(binding={"server": "one"}, server="one"))
