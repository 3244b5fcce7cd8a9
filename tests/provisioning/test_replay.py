"""What the log says otherwise than the tables is told in words. That it rebuilds them, every world here checks."""

from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update
from sqlalchemy.sql.dml import UpdateBase

from audit.body import ChangeBody, EventBody, parse_body
from directory.changes import DeactivateUser, DeleteUser
from directory.ids import DirectoryId, MemberId
from provisioning.ports import EventQuery
from provisioning.replay import Misfit, Replay, compare_replay, replay_events
from provisioning.state import Seat
from storage.engine import Database
from storage.tables import access_interval, member
from tests.builders import World, external, make_world, put_user
from tests.provisioning.conftest import check_replay


@pytest.fixture
def team(database: Database, tmp_path: Path) -> tuple[World, DirectoryId]:
    """Ann and Bob are Members; changing the tables by hand stays without the check at the end."""
    world = make_world(database, folder=tmp_path)
    return world, world.team("ann", "bob")


def misfits(world: World, *, leaving_out: str = "") -> list[str]:
    with world.unit_of_work.read() as reader:
        bodies = (parse_body(body) for _, body in reader.events(EventQuery(limit=1_000_000)))
        kept = [body for body in bodies if body["action"] != leaving_out]
        return [misfit.text for misfit in compare_replay(replay_events(kept), reader)]


def change(world: World, statement: UpdateBase) -> None:
    with world.database.write() as connection:
        connection.execute(statement)


def test_people_who_come_and_go_are_rebuilt(world: World) -> None:
    hq = world.team("ann", "bob", "cat")
    world.push(hq, DeactivateUser(external("ann")))
    world.push(hq, DeleteUser(external("bob")))
    world.push(hq, put_user("dan", active=False))
    world.push(hq, put_user("dan"))
    world.push(hq, put_user("bob", active=False))

    check_replay(world)
    assert "member.reactivated" in world.events()


def test_a_member_who_returns_inactive_is_a_member_again(world: World) -> None:
    hq = world.team("ann")
    world.push(hq, DeleteUser(external("ann")))
    world.events()

    world.push(hq, put_user("ann", active=False))

    assert "member.created" in world.events()
    check_replay(world)


def test_a_grant_past_the_log_is_told(team: tuple[World, DirectoryId]) -> None:
    world, hq = team
    ann = world.member_of(hq, "ann")
    change(world, update(access_interval).values(role="Admin").where(access_interval.c.member_id == ann))

    assert misfits(world) == [
        f"holds Admin at {world.root}, and the log does not say so",
        f"holds Member at {world.root} by the log, and not by the tables",
    ]


def test_a_grant_by_another_event_is_told(team: tuple[World, DirectoryId]) -> None:
    world, hq = team
    ann = world.member_of(hq, "ann")
    other = update(access_interval).values(opened_event=world.new_id())
    change(world, other.where(access_interval.c.member_id == ann))

    assert misfits(world) == [f"holds Member at {world.root} by another event than the table says"]


def test_state_past_the_log_is_told(team: tuple[World, DirectoryId]) -> None:
    world, hq = team
    ann = world.member_of(hq, "ann")
    change(world, update(member).values(is_active=False, seat="waiting").where(member.c.id == ann))

    assert misfits(world) == [
        "is inactive, by the log active",
        "has the seat waiting, by the log seated",
    ]


def test_a_member_who_is_not_in_the_log_is_told(team: tuple[World, DirectoryId]) -> None:
    world, hq = team
    ann, bob = world.member_of(hq, "ann"), world.member_of(hq, "bob")
    change(world, update(member).values(deleted_at=world.clock()).where(member.c.id == ann))
    assert misfits(world) == ["is a member by the log, and not among the members"]

    world.push(hq, DeleteUser(external("bob")))
    change(world, update(member).values(deleted_at=None).where(member.c.id.in_([ann, bob])))
    assert misfits(world) == ["is a member, and by the log no longer"]

    change(world, delete(member).where(member.c.id == bob))
    row = {"id": world.new_id(), "organisation_id": world.organisation_id, "display_name": "", "mail": ""}
    rest = {"mail_key": "", "is_active": False, "seat": "none", "pii_ref": world.new_id()}
    change(world, insert(member).values(**row, **rest, created_at=world.clock()))
    change(
        world,
        update(access_interval).values(member_id=world.new_id()).where(access_interval.c.member_id == ann),
    )
    assert sorted(misfits(world)) == [
        f"holds Member at {world.root} by the log, and not by the tables",
        "holds grants, and is neither among the members nor in the log",
        "is a member, and no event made them one",
    ]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("member.created", "speaks of somebody never made a member"),
        ("role.granted", "and the log does not say so"),
        ("seat.assigned", "has the seat seated, by the log none"),
    ],
)
def test_a_missing_event_is_noticed(world: World, action: str, told: str) -> None:
    world.team("ann")

    assert any(told in text for text in misfits(world, leaving_out=action))


def body(action: str, *changes: ChangeBody, outcome: str = "success", kind: str = "member") -> EventBody:
    return {
        "v": 1,
        "id": f"event {action}",
        "organisation": "org",
        "time": "2026-03-04T05:06:07.891Z",
        "salt": "",
        "action": action,
        "outcome": outcome,
        "actor": {"type": "system", "id": "seats"},
        "cause": {"kind": "run"},
        "targets": [{"type": kind, "id": "ann", "role": "subject"}],
        "changes": list(changes),
    }


def moved(path: str, before: str | None, after: str | None) -> ChangeBody:
    return {"path": path, "before": before, "after": after}


GRANTED = body("role.granted", moved("role", None, "Admin"), moved("scope_id", None, "root"))
REVOKED = body("role.revoked", moved("role", "Admin", None), moved("scope_id", "root", None))


def faults(*bodies: EventBody) -> list[Misfit]:
    return replay_events([body("member.created"), *bodies]).faults


def test_a_grant_said_twice_is_told() -> None:
    (fault,) = faults(GRANTED, GRANTED)
    assert fault == Misfit(
        MemberId("ann"), "event event role.granted grants Admin at root, which was held already"
    )
    (fault,) = faults(GRANTED, REVOKED, REVOKED)
    assert "takes Admin at root away, which was not held" in fault.text


def test_a_seat_that_jumps_is_told() -> None:
    (fault,) = faults(body("seat.released", moved("seat", "seated", "none")))
    assert "moves the seat from seated, which was none" in fault.text


def test_what_was_refused_and_what_is_about_others_moves_nothing() -> None:
    denied = body("role.granted", outcome="denied")
    service = body("member.created", kind="invitation")
    targetless = body("member.updated")
    targetless["targets"] = []
    replay = Replay()
    for one in (denied, service, targetless, body("member.created"), body("member.linked")):
        replay.take(one)

    assert (replay.events, replay.faults) == (5, [])
    assert replay.members["ann"].seat is Seat.NONE  # type: ignore[index]  # a plain text serves as an id
