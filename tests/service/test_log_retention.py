"""What is older than the record is kept goes, and only that; the rest is proven and replayed as before."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from audit.actors import Actor, AdminActor, TokenActor
from audit.events import FieldChange
from audit.verifier import COMPLETE_RANGE
from directory.changes import LiftBlock, SetBlock
from directory.ids import EnvironmentId, EventId, MemberId, StreamId
from directory.stream_changes import PutStream
from provisioning.apply import apply_changes
from provisioning.commands import Applied, Command
from provisioning.log_proofs import prove_event
from provisioning.log_retention import RetentionHeldError
from provisioning.log_verification import Tampering
from provisioning.queries import access_as_of
from service.administration import Administration
from service.errors import InputError, RefusedError
from service.log_retention import (
    apply_retention,
    apply_retention_everywhere,
    lift_hold,
    plan_retention,
    set_hold,
    set_retention,
)
from service.metrics import Metrics
from service.organisations import NewOrganisation, create_organisation
from service.scheduler import Scheduler
from storage.audit_tables import audit_baseline, audit_mark, audit_removal
from storage.errors import ConflictError
from storage.sealed_events import SQLSealedLog
from storage.sealing import SQLSealing
from storage.tables import audit_event, audit_hour, audit_mail, audit_pii, audit_term, member
from tests.service.keeping import (
    AGE,
    bodies,
    bundle,
    differences,
    let_go,
    old_world,
    read_directory,
    replay,
    said,
    seal,
    verified,
)
from tests.service.worlds import OPERATOR, HandClock, active_mails

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def acme(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    """An organisation of three members; what made them is 500 days old and sealed."""
    environ = {}
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("postgresql_database")
        environ["USHER_DATABASE_URL"] = make()
    with old_world(tmp_path, clock, **environ) as administration:
        yield administration


def size(acme: Administration) -> int:
    with SQLSealing(acme.wiring.database).read(acme.organisation_id) as log:
        return log.size()


def count(acme: Administration, column: object) -> int:
    with acme.wiring.database.read() as connection:
        return int(connection.execute(select(func.count(column))).scalar_one())  # type: ignore[arg-type]  # a column


def rows(acme: Administration, table: object) -> list[tuple[Any, ...]]:
    with acme.wiring.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(table))]  # type: ignore[call-overload]  # a table


def block(acme: Administration, mail: str = "ben@acme.example") -> None:
    with acme.read() as reader:
        records = reader.member_records(reader.member_ids(None, 100))
    (member_id,) = (known for known, record in records.items() if record.mail == mail)
    acme.apply([SetBlock(MemberId(member_id), "a case")])


def test_what_is_older_than_the_days_goes_and_the_rest_is_proven(
    acme: Administration, clock: HandClock, tmp_path: Path
) -> None:
    old = size(acme)
    block(acme)
    seal(acme)
    kept = bodies(acme)[old:]

    applied = apply_retention(acme)

    assert applied.leaves == old > 10
    seal(acme)
    assert bodies(acme)[: len(kept)] == kept
    told = said(bodies(acme, "log.retention_applied")[0])
    assert (told["first"], told["last"], told["days"]) == (0, old - 1, 400)
    with SQLSealing(acme.wiring.database).read(acme.organisation_id) as log:
        proof = prove_event(log, EventId(kept[0]["id"]))
        assert proof.event.leaf_index == old
        assert len(log.leaves(0, log.size())) == log.size()
    assert differences(acme) == []
    assert verified(acme, tmp_path, bundle(acme, old, clock())).result == COMPLETE_RANGE


def test_access_and_the_replay_outlive_the_events_that_made_them(
    acme: Administration, clock: HandClock
) -> None:
    with acme.read() as reader:
        then = access_as_of(reader, clock() - DAY)

    apply_retention(acme)

    report = replay(acme)
    assert (report.misfits, report.members, report.removed) == ((), 3, size(acme))
    block(acme)
    let_go(acme, clock, "ben")
    assert replay(acme).misfits == ()
    clock.advance(days=500)
    seal(acme)
    clock.advance(days=500)
    apply_retention(acme)
    assert replay(acme).misfits == ()
    assert differences(acme) == []
    with acme.read() as reader:
        assert [held.opened_event for held in access_as_of(reader, clock() - timedelta(days=1032))] == [
            held.opened_event for held in then
        ]


def test_what_differs_from_what_was_removed_is_found_by_the_replay(acme: Administration) -> None:
    apply_retention(acme)
    with acme.wiring.database.write() as connection:
        connection.execute(update(member).values(seat="none").where(member.c.seat == "seated"))
    assert {misfit.text for misfit in replay(acme).misfits} == {"has the seat none, by the log seated"}

    with acme.wiring.database.write() as connection:
        state = {"active": True, "deleted": False, "seat": "none", "grants": []}
        connection.execute(audit_baseline.update().values(state=state))

    assert "what is kept of the removed events" in replay(acme).misfits[0].text


def test_nothing_is_left_by_which_a_removed_event_is_found(acme: Administration) -> None:
    old = size(acme)
    apply_retention(acme)

    assert rows(acme, audit_hour) == []
    with acme.wiring.database.read() as connection:
        lowest = connection.execute(select(func.min(audit_event.c.id))).scalar_one()
        lost = select(func.count()).select_from(audit_term).where(audit_term.c.event_row < lowest)
        events = select(func.count()).where(audit_event.c.organisation_id == acme.organisation_id)
        assert connection.execute(lost).scalar_one() == 0
        assert connection.execute(events).scalar_one() == 1
    assert [(row[1], row[2]) for row in rows(acme, audit_removal)] == [(0, old - 1)]
    # Whoever is present is named by the next event, too; one more is the key of mails.
    assert count(acme, audit_pii.c.ref) == 4


def test_names_go_with_the_last_event_that_speaks_of_them(acme: Administration, clock: HandClock) -> None:
    let_go(acme, clock, "ben")
    seal(acme)
    apply_retention(acme)
    assert count(acme, audit_pii.c.ref) == 4

    clock.advance(days=402)

    assert apply_retention(acme).references == 1
    assert count(acme, audit_pii.c.ref) == 3
    assert replay(acme).misfits == ()
    with acme.read() as reader:
        assert reader.members_by_text("anna") == []
        assert reader.subjects_by_mail("anna@acme.example") == []
    assert active_mails(acme) == {"ben@acme.example", "olivia@acme.example"}


def come_from(acme: Administration, address: str, actor: Actor) -> None:
    """Have somebody block Ben, and lift it, from an address."""
    wiring = acme.wiring
    with acme.read() as reader:
        (ben,) = reader.members_by_text("ben")
    for change in (SetBlock(ben, "a case"), LiftBlock(ben)):
        command = Command(actor=actor, changes=(change,), kind="admin_action", address=address)
        done = apply_changes(
            command,
            unit_of_work=acme.unit_of_work,
            clock=wiring.clock,
            mint=wiring.mint,
            models=wiring.models,
        )
        assert isinstance(done, Applied)


def test_an_address_goes_with_the_last_event_that_came_from_it(
    acme: Administration, clock: HandClock
) -> None:
    with acme.read() as reader:
        (ben,) = reader.members_by_text("ben")
        (directory,) = reader.directories()
    token = TokenActor(acme.wiring.mint.id(), directory.directory_id)
    # Of a token, of somebody present, and of nobody that is known.
    actors: tuple[Actor, ...] = (token, AdminActor(ben), AdminActor("operator:x", is_operator=True))
    for number, actor in enumerate(actors, start=1):
        come_from(acme, f"203.0.113.{number}", actor)
    seal(acme)
    clock.advance(days=300)
    come_from(acme, "203.0.113.1", actors[0])
    seal(acme)

    def known() -> list[int]:
        with acme.read() as reader:
            return [number for number in (1, 2, 3) if reader.address_references(f"203.0.113.{number}")]

    apply_retention(acme)
    assert known() == [1, 2, 3]
    clock.advance(days=102)
    apply_retention(acme)
    assert known() == [1]
    clock.advance(days=301)
    apply_retention(acme)
    assert known() == []
    assert count(acme, audit_mail.c.ref) == 3


def test_a_former_name_goes_and_the_present_one_stays(acme: Administration, clock: HandClock) -> None:
    export = acme.wiring.settings.exports / "hq.ldif"
    export.write_text(export.read_text().replace("Anna Example", "Hannah Example"), encoding="utf-8")
    read_directory(acme)
    assert count(acme, audit_pii.c.ref) == 5
    apply_retention(acme)
    # The event of the change still speaks of the former name.
    assert count(acme, audit_pii.c.ref) == 5

    seal(acme)
    clock.advance(days=402)
    apply_retention(acme)

    assert count(acme, audit_pii.c.ref) == 4
    with acme.read() as reader:
        (anna,) = reader.member_records(reader.members_by_text("anna")).values()
        assert reader.personal_data([anna.pii_ref])[anna.pii_ref]["name"] == "Hannah Example"


def test_a_clock_that_went_back_does_not_delete_what_is_young(acme: Administration, clock: HandClock) -> None:
    old = size(acme)
    acme.record("log.read", ())
    seal(acme)
    now = clock.now
    clock.now -= AGE
    for _ in range(3):
        acme.record("log.read", ())
    seal(acme)
    clock.now = now

    assert apply_retention(acme).leaves == old
    assert len(bodies(acme, "log.read")) == 4


def test_what_was_sealed_lately_is_young_whatever_it_says(acme: Administration, clock: HandClock) -> None:
    old = size(acme)
    clock.now -= AGE
    acme.record("log.read", ())
    clock.now += AGE
    seal(acme)

    assert apply_retention(acme).leaves == old


def test_what_is_not_sealed_is_kept(acme: Administration, clock: HandClock) -> None:
    old = size(acme)
    acme.record("log.read", ())
    clock.advance(days=1000)

    assert apply_retention(acme).leaves == old
    assert len(bodies(acme, "log.read")) == 1


def test_the_days_are_set_within_bounds_and_told(acme: Administration) -> None:
    for days in (89, 3654, -1):
        with pytest.raises(InputError, match="90 to 3653 days"):
            set_retention(acme, days)
    assert plan_retention(acme).keeping.days == 400
    assert plan_retention(acme, 600).number == 0
    assert plan_retention(acme).number == size(acme)

    assert set_retention(acme, 600).days == 600
    assert set_retention(acme, 600).days == 600

    (event,) = bodies(acme, "log.retention_set")
    assert event["changes"] == [{"path": "days", "before": 400, "after": 600}]
    assert apply_retention(acme).leaves == 0
    set_retention(acme, 499)
    assert apply_retention(acme).leaves > 0


def test_a_hold_keeps_everything_until_it_is_lifted_or_ends(acme: Administration, clock: HandClock) -> None:
    with pytest.raises(RefusedError, match="no legal hold stands"):
        lift_hold(acme)
    for reason, ends_at in (("", None), ("x" * 401, None), ("case 7", clock() - DAY)):
        with pytest.raises(InputError):
            set_hold(acme, reason, ends_at)
    set_hold(acme, "case 7")
    number = len(bodies(acme))

    with pytest.raises(RetentionHeldError, match="case 7") as caught:
        apply_retention(acme)
    assert "until it is lifted" in str(caught.value)
    assert apply_retention_everywhere(acme.wiring) == 0
    assert len(bodies(acme)) == number
    assert plan_retention(acme).is_held

    assert lift_hold(acme).reason == "case 7"
    set_hold(acme, "case 8", clock() + DAY)
    with pytest.raises(RetentionHeldError, match="case 8"):
        apply_retention(acme)
    clock.advance(days=2)
    assert apply_retention(acme).leaves > 10
    with pytest.raises(RefusedError):
        lift_hold(acme)
    assert [said(event)["reason"] for event in bodies(acme, "log.hold_set")] == ["case 7", "case 8"]
    assert len(bodies(acme, "log.hold_lifted")) == 1


class Cut(Exception):  # noqa: N818 - it plays a process that dies
    pass


def die(_leaves: int) -> None:
    raise Cut


def test_a_removal_that_is_cut_off_anywhere_is_gone_on_with(acme: Administration) -> None:
    old = size(acme)
    cuts = 0
    while True:
        try:
            apply_retention(acme, declared_at_once=7, removed_at_once=3, after_batch=die)
        except Cut:
            cuts += 1
            assert replay(acme).misfits == ()
            assert differences(acme) == []
        else:
            break

    assert cuts >= old / 3
    ranges = [(said(event)["first"], said(event)["last"]) for event in bodies(acme, "log.retention_applied")]
    assert [first for first, _ in ranges] == list(range(0, old, 7))
    assert ranges[-1][1] == old - 1
    assert len(bodies(acme)) == len(ranges)


def test_a_hold_that_comes_in_the_middle_keeps_the_rest(acme: Administration) -> None:
    with pytest.raises(Cut):
        apply_retention(acme, removed_at_once=3, after_batch=die)
    set_hold(acme, "case 7")
    number = len(bodies(acme))

    with pytest.raises(RetentionHeldError):
        apply_retention(acme)

    assert len(bodies(acme)) == number
    assert replay(acme).misfits == ()
    assert differences(acme) == []


def test_several_at_once_remove_each_event_once(acme: Administration) -> None:
    old = size(acme)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(apply_retention, acme, declared_at_once=5, removed_at_once=2) for _ in range(4)]
        leaves = [one.result().leaves for one in done]

    assert sum(leaves) == old
    ranges = sorted((row[1], row[2]) for row in rows(acme, audit_removal))
    assert ranges == [(first, min(first + 4, old - 1)) for first in range(0, old, 5)]
    assert len(bodies(acme, "log.retention_applied")) == len(ranges)
    assert differences(acme) == []
    assert replay(acme).misfits == ()


def test_a_stopping_service_leaves_the_rest_for_later(acme: Administration) -> None:
    assert apply_retention_everywhere(acme.wiring, lambda: True) == 0
    assert apply_retention(acme, is_stopping=lambda: True).leaves == 0
    assert apply_retention_everywhere(acme.wiring) == size(acme)
    assert apply_retention_everywhere(acme.wiring) == 0


def test_another_organisations_record_is_not_touched(
    acme: Administration, clock: HandClock, tmp_path: Path
) -> None:
    clock.now -= AGE
    new = NewOrganisation("Other", EnvironmentId("minut"), "o@other.example", "O", plan="Pro")
    state = create_organisation(new, wiring=acme.wiring, actor=OPERATOR)
    other = Administration(acme.wiring, state.organisation_id, OPERATOR)
    seal(acme)
    clock.now += AGE
    before = bodies(other)

    assert apply_retention(acme).leaves > 10

    assert bodies(other) == before
    assert plan_retention(other).number == len(before)
    assert len(rows(acme, audit_mark)) > 1


def test_an_event_that_tells_of_another_removal_is_found(acme: Administration) -> None:
    told = [FieldChange("first", None, 0), FieldChange("last", None, 3), FieldChange("baseline", None, "")]
    for root in ("no root", "00" * 32):
        acme.record("log.retention_applied", (*told, FieldChange("root", None, root)))
    found = differences(acme)
    assert [(one.kind, one.leaf_index) for one in found] == [(Tampering.REWRITTEN, 0)]
    assert "leaves 0 to 3 are not those that the event of their removal tells of" in found[0].text


def test_ranges_that_touch_are_one_and_a_hole_is_found(acme: Administration) -> None:
    apply_retention(acme, declared_at_once=4, removed_at_once=50)
    with acme.wiring.database.migrate() as connection:
        # Whoever owns the database can take the triggers away.
        if acme.wiring.database.is_sqlite:
            connection.exec_driver_sql("DROP TRIGGER audit_removal_no_delete")
        else:
            connection.exec_driver_sql("ALTER TABLE audit_removal DISABLE TRIGGER USER")
        connection.execute(audit_removal.delete().where(audit_removal.c.first_leaf == 4))

    assert [(one.kind, one.leaf_index) for one in differences(acme)] == [
        (Tampering.DELETED, leaf) for leaf in range(4, 8)
    ]


def test_a_stream_that_is_overtaken_is_named_and_told_of_a_gap(acme: Administration, tmp_path: Path) -> None:
    stream_id = StreamId(acme.wiring.mint.id())
    acme.apply([PutStream(stream_id, "siem", "pull", {}, {"token": b"x" * 32}, after=-1)])
    assert plan_retention(acme).overtaken == ("siem",)
    old = size(acme)

    apply_retention(acme)

    assert plan_retention(acme).overtaken == ()
    seal(acme)
    log = SQLSealedLog(acme.wiring.database, acme.organisation_id)
    assert log.after(-1, 1)[0].leaf_index >= old


def test_the_table_of_removals_is_append_only(acme: Administration) -> None:
    apply_retention(acme)
    with pytest.raises(ConflictError, match="append-only"), acme.wiring.database.write() as connection:
        connection.execute(audit_removal.delete())


def test_the_scheduler_applies_it(acme: Administration) -> None:
    scheduler = Scheduler(acme.wiring, Metrics())
    scheduler._apply_retention()
    assert len(bodies(acme, "log.retention_applied")) == 1
    (event,) = bodies(acme, "log.retention_applied")
    assert event["actor"]["type"] == "system"
    assert event["cause"]["kind"] == "retention"
