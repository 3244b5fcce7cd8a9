"""People are erased from the record: nothing shows or holds their names any more, and every proof stays."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from audit.events import ERASED
from audit.verifier import COMPLETE
from directory.changes import EndInvitation, Invite, SetBlock, SetOverride
from directory.ids import InvitationId, MemberId, OverrideId, RoleId
from provisioning.log_retention import RetentionHeldError, StillPresentError
from provisioning.ports import EventQuery
from service.administration import Administration
from service.errors import AmbiguousNameError, NotFoundError
from service.log_filters import EventFilter, resolve_filter
from service.log_reading import read_log
from service.log_retention import (
    erase_people,
    find_leavers,
    find_person,
    lift_hold,
    set_hold,
)
from service.reports import Span, make_report
from storage.sealed_events import SQLSealedLog
from storage.tables import audit_mail, audit_pii
from tests.service.keeping import (
    bodies,
    bundle,
    differences,
    files,
    let_go,
    read_directory,
    replay,
    said,
    seal,
    stored,
    verified,
)
from tests.service.worlds import HandClock, small_world, write_export

CANARY = re.compile(rb"anna", re.IGNORECASE)
MAIL = "anna@acme.example"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def acme(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> Iterator[Administration]:
    """Anna and Ben are Members by a rule."""
    environ = {}
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("postgresql_database")
        environ["USHER_DATABASE_URL"] = make()
    with small_world(tmp_path, clock, **environ) as administration:
        yield administration


def member_id(acme: Administration, mail: str = MAIL) -> MemberId:
    with acme.read() as reader:
        records = reader.member_records(reader.member_ids(None, 100))
    return next(known for known, record in records.items() if record.mail == mail)


def leave(acme: Administration, clock: HandClock) -> MemberId:
    """Anna leaves, after all that may be said of somebody was said of her."""
    anna = member_id(acme)
    root = acme.wiring.store.organisations()[0].root_scope_id
    change = SetOverride(
        OverrideId(acme.wiring.mint.id()),
        anna,
        ((RoleId("Member"), root),),
        "Anna asked for it",
        clock() + timedelta(days=20),
    )
    acme.apply([change])
    acme.apply([SetBlock(anna, "Anna is ill")])
    let_go(acme, clock, "ben")
    seal(acme)
    return anna


def canaries(acme: Administration) -> list[str]:
    """Where in the database something of Anna is."""
    return sorted({where for where, value in stored(acme) if CANARY.search(value)})


def references(acme: Administration) -> dict[str, tuple[bytes, bytes]]:
    with acme.wiring.database.read() as connection:
        found = connection.execute(select(audit_pii.c.ref, audit_pii.c.key, audit_pii.c.ciphertext))
        return {row[0]: (bytes(row[1]), bytes(row[2])) for row in found}


def test_an_erased_person_is_in_no_table_and_every_proof_stays(
    acme: Administration, clock: HandClock, tmp_path: Path
) -> None:
    anna = leave(acme, clock)
    before = verified(acme, tmp_path / "before", bundle(acme, 0, clock()))
    number = len(bodies(acme))
    assert {"member.display_name", "directory_user.dn", "override.reason"} <= set(canaries(acme))

    erased = erase_people(acme, [find_person(acme, MAIL)])

    assert erased.persons == 1
    assert erased.references >= 1
    assert canaries(acme) == []
    (event,) = bodies(acme, "log.pii_erased")
    assert (said(event)["people"], said(event)["references"]) == (1, erased.references)
    assert [(target["type"], target["id"]) for target in event["targets"]] == [("member", anna)]
    assert len(bodies(acme)) == number + 1
    assert differences(acme) == []
    assert replay(acme).misfits == ()
    after = verified(acme, tmp_path / "after", bundle(acme, 0, clock()))
    assert (before.result, after.result) == (COMPLETE, COMPLETE)


def test_the_bytes_of_keys_names_and_digests_leave_the_files(acme: Administration, clock: HandClock) -> None:
    if acme.wiring.database.file is None:
        pytest.skip("of PostgreSQL's files VACUUM and the server decide")
    leave(acme, clock)
    person = find_person(acme, MAIL)
    with acme.wiring.database.read() as connection:
        digests = connection.execute(
            select(audit_mail.c.mail_digest).where(audit_mail.c.ref.in_(person.references))
        )
        secrets = [bytes(digest) for digest in digests.scalars()]
    held = references(acme)
    secrets += [part for ref in person.references for part in held[ref]]
    kept = [part for ref in held.keys() - person.references for part in held[ref]]
    assert len(secrets) >= 3
    assert all(secret in files(acme) for secret in secrets)

    assert erase_people(acme, [person]).is_overwritten

    content = files(acme)
    assert not [secret for secret in secrets if secret in content]
    assert all(part in content for part in kept)
    assert not CANARY.search(content)


def test_a_reader_in_the_way_of_the_overwriting_is_told_of(acme: Administration, clock: HandClock) -> None:
    if acme.wiring.database.file is None:
        pytest.skip("SQLite alone has a write-ahead log of ours")
    leave(acme, clock)
    person = find_person(acme, MAIL)
    with acme.wiring.database.read() as connection:
        connection.execute(select(audit_pii.c.ref)).all()
        assert not erase_people(acme, [person]).is_overwritten


def test_every_view_shows_erased(acme: Administration, clock: HandClock) -> None:
    anna = leave(acme, clock)
    with acme.read() as reader:
        users = {user.user_id for user in reader.users_of_members([anna])}
    erase_people(acme, [find_person(acme, MAIL)])
    seal(acme)

    reading = read_log(acme, EventQuery(limit=1000, about=(anna, *users)))
    assert {reading.names[anna], *(reading.names[one] for one in users)} == {ERASED}
    leavers = make_report(acme, "leavers", Span(), limit=10)
    assert {row["name"] for row in leavers.rows} == {ERASED}
    told = [str(row["text"]) for row in make_report(acme, "overrides", Span(), limit=10).rows]
    assert told
    assert all(ERASED in text and "nna" not in text for text in told)
    log = SQLSealedLog(acme.wiring.database, acme.organisation_id)
    shown = [event for event in log.after(-1, 1000) if anna.encode() in event.body]
    assert all(names["name"] == ERASED for event in shown for names in event.names.values())
    assert any(event.names for event in shown)


def test_nobody_is_found_by_an_erased_mail(acme: Administration, clock: HandClock) -> None:
    leave(acme, clock)
    with acme.read() as reader:
        assert resolve_filter(reader, acme.wiring.models, EventFilter(about=MAIL)).about
    erase_people(acme, [find_person(acme, MAIL)])

    with acme.read() as reader:
        assert reader.subjects_by_mail(MAIL) == []
        with pytest.raises(NotFoundError):
            resolve_filter(reader, acme.wiring.models, EventFilter(about=MAIL))
        assert reader.subjects_by_mail("ben@acme.example") != []
    with pytest.raises(NotFoundError, match="the record knows nobody"):
        find_person(acme, MAIL)


def test_whoever_comes_back_is_somebody_new(acme: Administration, clock: HandClock) -> None:
    anna = leave(acme, clock)
    erase_people(acme, [find_person(acme, MAIL)])
    old = references(acme)

    write_export(acme.wiring, "anna", "ben")
    read_directory(acme)

    again = find_person(acme, MAIL)
    assert again.is_present
    assert anna not in again.ids
    assert again.references
    assert again.references.isdisjoint(old)
    reading = read_log(acme, EventQuery(limit=1000, about=(anna, *again.ids)))
    assert reading.names[anna] == ERASED
    assert reading.names[next(iter(again.member_ids))] == "Anna Example"
    assert replay(acme).misfits == ()


def test_who_is_present_is_erased_on_purpose_alone_and_goes_on_by_name(
    acme: Administration, clock: HandClock
) -> None:
    anna = member_id(acme)
    export = acme.wiring.settings.exports / "hq.ldif"
    export.write_text(export.read_text().replace("Anna Example", "Hannah Example"), encoding="utf-8")
    read_directory(acme)
    person = find_person(acme, MAIL)
    assert set(person.names) >= {"Anna Example", "Hannah Example"}

    with pytest.raises(StillPresentError, match="1 of them are present"):
        erase_people(acme, [person])
    assert bodies(acme, "log.pii_erased") == []
    erase_people(acme, [person], even_present=True)

    now = find_person(acme, MAIL)
    assert now.references
    assert now.references.isdisjoint(person.references)
    assert "Anna Example" not in now.names
    acme.apply([SetBlock(anna, "a case")])
    reading = read_log(acme, EventQuery(limit=1000, about=(anna,)))
    by_action = {event["action"]: event["targets"][0].get("pii", "") for _, event in reading.events}
    assert reading.names[by_action["block.set"]] == "Hannah Example"
    assert reading.names[by_action["member.created"]] == ERASED
    assert replay(acme).misfits == ()


def test_a_hold_keeps_names(acme: Administration, clock: HandClock) -> None:
    leave(acme, clock)
    person = find_person(acme, MAIL)
    set_hold(acme, "case 7")
    held = references(acme)

    with pytest.raises(RetentionHeldError, match="nothing of the record is removed or erased"):
        erase_people(acme, [person])

    assert references(acme) == held
    lift_hold(acme)
    assert erase_people(acme, [person]).persons == 1


def test_a_person_is_found_by_member_user_reference_and_former_mail(
    acme: Administration, clock: HandClock
) -> None:
    anna = member_id(acme)
    export = acme.wiring.settings.exports / "hq.ldif"
    export.write_text(export.read_text().replace(MAIL, "anna.new@acme.example"), encoding="utf-8")
    read_directory(acme)
    person = find_person(acme, anna)
    (user_id,) = person.user_ids

    for name in ("anna", MAIL, "ANNA.new@acme.example", user_id, f"pii:{min(person.references)}"):
        assert find_person(acme, name) == person
    assert set(person.mails) == {MAIL, "anna.new@acme.example"}
    for name in ("nobody", acme.organisation_id, acme.wiring.mint.id(), "x@acme.example"):
        with pytest.raises(NotFoundError):
            find_person(acme, name)


def test_two_people_of_one_former_mail_are_told_apart(acme: Administration, clock: HandClock) -> None:
    anna = leave(acme, clock)
    export = acme.wiring.settings.exports / "hq.ldif"
    export.write_text(export.read_text().replace("ben@acme.example", MAIL), encoding="utf-8")
    read_directory(acme)

    with acme.read() as reader:
        found = set(reader.subjects_by_mail(MAIL))
    assert len(found) == 2
    with pytest.raises(AmbiguousNameError, match="Ben Example"):
        find_person(acme, MAIL)
    erase_people(acme, [find_person(acme, anna)])
    assert "Ben Example" in find_person(acme, MAIL).names


def test_all_who_left_before_a_moment_are_erased_at_once(acme: Administration, clock: HandClock) -> None:
    began = clock()
    invitation = InvitationId(acme.wiring.mint.id())
    root = acme.wiring.store.organisations()[0].root_scope_id
    end = clock() + timedelta(days=7)
    acme.apply([Invite(invitation, "anna.guest@elsewhere.example", RoleId("Member"), root, end)])
    with pytest.raises(StillPresentError):
        erase_people(acme, [find_person(acme, "anna.guest@elsewhere.example")])
    acme.apply([EndInvitation(invitation)])
    leave(acme, clock)
    clock.advance(days=1)

    assert find_leavers(acme, began) == []
    leavers = find_leavers(acme, clock())
    assert len(leavers) == 2
    erased = erase_people(acme, leavers, left_before=clock())

    assert erased.persons == 2
    assert canaries(acme) == []
    (event,) = bodies(acme, "log.pii_erased")
    assert said(event)["left_before"] == f"{clock():%Y-%m-%dT%H:%M:%SZ}"
    assert [target["type"] for target in event["targets"]] == ["organisation"]
    assert find_leavers(acme, clock()) == []
    assert erase_people(acme, []).persons == 0


def test_an_open_invitation_goes_on_under_a_new_reference(acme: Administration, clock: HandClock) -> None:
    mail = "guest@elsewhere.example"
    invitation = InvitationId(acme.wiring.mint.id())
    root = acme.wiring.store.organisations()[0].root_scope_id
    acme.apply([Invite(invitation, mail, RoleId("Member"), root, clock() + timedelta(days=7))])
    before = find_person(acme, mail)

    erase_people(acme, [before], even_present=True)

    after = find_person(acme, mail)
    assert (after.ids, after.mails) == (before.ids, before.mails)
    assert after.references
    assert after.references.isdisjoint(before.references)
    acme.apply([EndInvitation(invitation)])
    reading = read_log(acme, EventQuery(limit=10, action="invitation."))
    told = {event["action"]: event["targets"][0]["pii"] for _, event in reading.events}
    assert reading.names[told["invitation.created"]] == ERASED
    assert reading.names[told["invitation.ended"]] == mail


def test_the_key_of_mails_is_nobodys(acme: Administration, clock: HandClock) -> None:
    leave(acme, clock)
    erase_people(acme, [find_person(acme, MAIL)])
    acme.apply([])
    with acme.read() as reader:
        assert reader.subjects_by_mail("ben@acme.example")
