"""Whose references are whose, and their end: the keys of clear names destroyed, and what tables keep of who left."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    delete,
    literal_column,
    null,
    or_,
    select,
    update,
)

from audit.events import PII_PREFIX
from provisioning.log_retention import Erased, Person, StillPresentError
from provisioning.ports import EventQuery
from provisioning.state import PersonalData
from storage.sets import in_set
from storage.sso_tables import login_link, login_session
from storage.tables import audit_mail, audit_pii, block, directory_user, invitation, member, override
from storage.types import Document, Moment, read_document, read_moment, read_optional_moment
from storage.unit_of_work import StoreReader, StoreWriter
from storage.view import ORGANISATION, Row, is_own

ERASED_ID: Final = "erased:"
"""What the external id of an erased user begins with: whoever comes back is somebody new."""

_ALL: Final = 2**62
_PENDING: Final = "pending"
_REFERENCE: Final = re.compile(rb'"' + PII_PREFIX.encode() + rb'([0-9a-f-]{36})"')

_NAMES, _MEMBERS, _USERS, _INVITED = audit_pii.c, member.c, directory_user.c, invitation.c
_SELECT_SUBJECTS = select(_NAMES.subject_id).where(in_set(_NAMES.ref, "ids"), is_own(_NAMES.organisation_id))
_SELECT_REFERRED = select(_NAMES.ref, _NAMES.subject_id).where(
    in_set(_NAMES.ref, "ids"), is_own(_NAMES.organisation_id)
)
_SELECT_REFERENCES = select(_NAMES.subject_id, _NAMES.ref).where(
    _NAMES.organisation_id == ORGANISATION, in_set(_NAMES.subject_id, "ids")
)
_SELECT_MEMBERS_OF_USERS = select(_USERS.member_id).where(
    in_set(_USERS.id, "ids"), is_own(_USERS.organisation_id)
)
_SELECT_MEMBERS = select(
    _MEMBERS.id,
    _MEMBERS.display_name,
    _MEMBERS.mail,
    _MEMBERS.mail_key,
    _MEMBERS.pii_ref,
    _MEMBERS.deleted_at,
).where(in_set(_MEMBERS.id, "ids"), is_own(_MEMBERS.organisation_id))
_SELECT_USERS = select(
    _USERS.id,
    _USERS.member_id,
    _USERS.pii_ref,
    _USERS.deleted_at,
    _USERS.display_name,
    _USERS.user_name,
    _USERS.mails,
    _USERS.dn,
    _USERS.external_id,
    _USERS.client_id,
).where(in_set(_USERS.member_id, "ids"), is_own(_USERS.organisation_id))
_SELECT_INVITATIONS = select(
    _INVITED.id, _INVITED.mail, _INVITED.mail_key, _INVITED.pii_ref, _INVITED.state, _INVITED.created_at
).where(
    _INVITED.organisation_id == ORGANISATION,
    or_(in_set(_INVITED.id, "ids"), in_set(_INVITED.mail_key, "mails", item=Text)),
)
_BEFORE, _LIMIT = bindparam("before", type_=Moment), bindparam("row_limit", type_=Integer)
_SELECT_LEFT = (
    select(_MEMBERS.id)
    .where(
        _MEMBERS.organisation_id == ORGANISATION,
        _MEMBERS.deleted_at < _BEFORE,
        or_(_MEMBERS.display_name != literal_column("''"), _MEMBERS.mail != literal_column("''")),
    )
    .order_by(_MEMBERS.id)
    .limit(_LIMIT)
)
_SELECT_UNTAKEN = (
    select(_INVITED.id)
    .where(
        _INVITED.organisation_id == ORGANISATION,
        _INVITED.state != literal_column(f"'{_PENDING}'"),
        _INVITED.created_at < _BEFORE,
        _INVITED.mail != literal_column("''"),
    )
    .order_by(_INVITED.id)
    .limit(_LIMIT)
)

_DELETE_MAILS = delete(audit_mail).where(
    in_set(audit_mail.c.ref, "refs"), is_own(audit_mail.c.organisation_id)
)
_DELETE_NAMES = delete(audit_pii).where(in_set(_NAMES.ref, "refs"), is_own(_NAMES.organisation_id))


def _of_members(column: ColumnElement[str], organisation_id: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(in_set(column, "member_ids"), is_own(organisation_id))


# What is left of somebody who left. A user's row stays, for events name it; it is found by nothing any more.
_WIPE_USERS = (
    update(directory_user)
    .values(
        external_id=literal_column(f"'{ERASED_ID}'").concat(_USERS.id.cast(Text)),
        client_id="",
        user_name="",
        user_name_key="",
        display_name="",
        given_name="",
        family_name="",
        mails=bindparam("no_mails", type_=Document),
        mail_key="",
        dn="",
        attributes=bindparam("no_attributes", type_=Document),
        fingerprint=b"",
    )
    .where(in_set(_USERS.id, "user_ids"), is_own(_USERS.organisation_id), _USERS.deleted_at.is_not(None))
)
_WIPE_INVITATIONS = (
    update(invitation)
    .values(mail="", mail_key="")
    .where(
        in_set(_INVITED.id, "invitation_ids"),
        is_own(_INVITED.organisation_id),
        _INVITED.state != literal_column(f"'{_PENDING}'"),
    )
)
_WIPE_MEMBERS: tuple[Executable, ...] = (
    update(member)
    .values(display_name="", mail="", mail_key="")
    .where(_of_members(_MEMBERS.id, _MEMBERS.organisation_id), _MEMBERS.deleted_at.is_not(None)),
    update(override).values(reason="").where(_of_members(override.c.member_id, override.c.organisation_id)),
    update(block).values(reason="").where(_of_members(block.c.member_id, block.c.organisation_id)),
    update(login_session)
    .values(name_id="", session_index="", subject_sha256=null(), address="", user_agent="")
    .where(_of_members(login_session.c.member_id, login_session.c.organisation_id)),
    delete(login_link).where(_of_members(login_link.c.member_id, login_link.c.organisation_id)),
)
_POINT_ANEW = {
    table.name: update(table)
    .values(pii_ref=bindparam("new_ref", type_=table.c.pii_ref.type))
    .where(table.c.id == bindparam("of_id", type_=table.c.id.type), is_own(table.c.organisation_id))
    for table in (member, directory_user, invitation)
}


class PersonsReader(StoreReader):
    """People by whatever the record knows of them."""

    def persons(self, ids: Iterable[str], *, with_names: bool = False) -> list[Person]:
        """Whoever the ids belong to, a member each; an invitation or a name that no member has stands alone."""
        # Under the organisation's own id lies the key that mails are digested by.
        given = set(ids) - {self._organisation_id}
        subjects = given | self._texts(_SELECT_SUBJECTS, given)
        members = {
            row[0]: row
            for row in self._rows(
                _SELECT_MEMBERS, ids=subjects | self._texts(_SELECT_MEMBERS_OF_USERS, subjects)
            )
        }
        users: dict[str, list[Row]] = {}
        for row in self._rows(_SELECT_USERS, ids=set(members)):
            users.setdefault(row[1], []).append(row)
        mails = {row[3] for row in members.values()} - {""}
        invitations = self._rows(_SELECT_INVITATIONS, ids=subjects, mails=mails)
        found = [self._person(row, users.get(row[0], []), invitations) for row in members.values()]
        taken = {one for person in found for one in person.ids}
        found.extend(
            Person(
                frozenset(),
                frozenset(),
                frozenset({row[0]}),
                frozenset(),
                mails=(row[1],) if row[1] else (),
                is_present=row[4] == _PENDING,
                left_at=read_moment(row[5]),
            )
            for row in invitations
            if row[0] not in taken
        )
        taken.update(one for person in found for one in person.invitation_ids)
        # Subjects that stand in no table any more.
        known = self._references(subjects - taken)
        found.extend(Person(frozenset(), frozenset({one}), frozenset(), frozenset()) for one in sorted(known))
        return [self._told(person, with_names=with_names) for person in found]

    def leavers(self, before: datetime, limit: int) -> list[Person]:
        """Those who left before the moment and are not erased yet."""
        ids = {row[0] for row in self._rows(_SELECT_LEFT, before=before, row_limit=limit)}
        ids.update(row[0] for row in self._rows(_SELECT_UNTAKEN, before=before, row_limit=limit))
        return [
            person
            for person in self.persons(ids)
            if not person.is_present and (person.left_at is None or person.left_at < before)
        ]

    def _person(self, row: Row, users: Sequence[Row], invitations: Sequence[Row]) -> Person:
        own = [one for one in invitations if (row[3] and one[2] == row[3]) or one[3] == row[4]]
        left = [read_optional_moment(row[5]), *(read_optional_moment(one[3]) for one in users)]
        moments = [moment for moment in left if moment is not None]
        return Person(
            frozenset({row[0]}),
            frozenset(one[0] for one in users),
            frozenset(one[0] for one in own),
            frozenset(),
            names=(row[1],) if row[1] else (),
            mails=(row[2],) if row[2] else (),
            is_present=len(moments) < len(left) or any(one[4] == _PENDING for one in own),
            left_at=max(moments, default=None),
        )

    def _told(self, person: Person, *, with_names: bool) -> Person:
        """The person with references, and with the names that those give."""
        references = frozenset(ref for refs in self._references(person.ids).values() for ref in refs)
        names, mails = dict.fromkeys(person.names), dict.fromkeys(person.mails)
        if with_names:
            for values in self.personal_data(references).values():
                names |= dict.fromkeys(values[part] for part in ("name", "user_name") if values.get(part))
                mails |= dict.fromkeys([values["mail"]] if values.get("mail") else [])
        return Person(
            person.member_ids,
            person.user_ids,
            person.invitation_ids,
            references,
            tuple(names),
            tuple(mails),
            person.is_present,
            person.left_at,
        )

    def _references(self, subjects: Collection[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for subject, ref in self._rows(_SELECT_REFERENCES, ids=subjects) if subjects else ():
            found.setdefault(subject, []).append(ref)
        return found

    def _texts(self, statement: Select[tuple[str]], ids: Collection[str]) -> set[str]:
        return {row[0] for row in self._rows(statement, ids=ids)}


class PersonsWriter(PersonsReader, StoreWriter):
    """The same, with the organisation locked, to end what is known of them."""

    def erase(self, ids: Collection[str], *, even_present: bool, mint: Callable[[], str]) -> Erased:
        """Destroy every key of theirs. Whoever is present goes on under new references.

        Raises StillPresentError.
        """
        persons = self.persons(ids)
        present = [person for person in persons if person.is_present]
        if present and not even_present:
            raise StillPresentError(len(present))
        references = frozenset(ref for person in persons for ref in person.references)
        self._destroy(references)
        self._wipe(persons)
        for person in present:
            self._name_anew(person, mint)
        return Erased(
            len(persons), len(references), frozenset(one for person in persons for one in person.ids)
        )

    def forget(self, bodies: Sequence[bytes], before: datetime) -> int:
        """Destroy the references in events that have been removed, unless others speak of them; how many.

        What is stored of somebody who is there is kept, and so is whoever left since `before`. Nothing at all is
        kept of those who left earlier and of whom no event is left.
        """
        references = {ref for body in bodies for ref in find_references(body)}
        found = self._pair_rows(_SELECT_REFERRED, ids=references) if references else []
        # Whom no table knows: tokens and connections that something came from, and strangers.
        loose: dict[str, str] = dict(found)
        destroyed: set[str] = set()
        gone: list[Person] = []
        for person in self.persons(loose.values()):
            if not (person.member_ids or person.invitation_ids):
                continue
            loose = {ref: subject for ref, subject in loose.items() if ref not in person.references}
            is_past = not person.is_present and (person.left_at is None or person.left_at < before)
            candidates = set(person.references) if is_past else (person.references & references)
            candidates -= set() if is_past else self._current(person)
            if not candidates:
                continue
            unused, has_events = self._unused(candidates, person.ids)
            destroyed |= unused
            if is_past and not has_events and unused == candidates:
                gone.append(person)
        for ref, subject in loose.items():
            destroyed |= self._unused({ref}, {subject} - {self._organisation_id})[0]
        self._destroy(destroyed)
        self._wipe(gone)
        return len(destroyed)

    def _unused(self, references: Collection[str], ids: Collection[str]) -> tuple[set[str], bool]:
        """Those of the references that no event has, and whether there is any event about the ids.

        A reference stands in events about those whose it is, or says where an event came from.
        """
        unused = set(references)
        has_events = False
        about = EventQuery(about=tuple(sorted(ids)), limit=_ALL if ids else 0)
        for _, body in self.events(about):
            has_events = True
            unused.difference_update(find_references(body))
            if not unused:
                break
        return {
            ref for ref in unused if not list(self.events(EventQuery(address=(ref,), limit=1)))
        }, has_events

    def _destroy(self, references: Collection[str]) -> None:
        if references:
            self._run(_DELETE_MAILS, refs=references)
            self._run(_DELETE_NAMES, refs=references)

    def _wipe(self, persons: Sequence[Person]) -> None:
        """What tables keep of people who left, and of users who were deleted."""
        user_ids = {one for person in persons for one in person.user_ids}
        invitation_ids = {one for person in persons for one in person.invitation_ids}
        member_ids = {one for person in persons if not person.is_present for one in person.member_ids}
        if user_ids:
            self._run(_WIPE_USERS, user_ids=user_ids, no_mails=[], no_attributes={})
        if invitation_ids:
            self._run(_WIPE_INVITATIONS, invitation_ids=invitation_ids)
        if member_ids:
            for statement in _WIPE_MEMBERS:
                self._run(statement, member_ids=member_ids)

    def _current(self, person: Person) -> set[str]:
        """The references that the next event will name the person by."""
        members = self._rows(_SELECT_MEMBERS, ids=person.member_ids)
        users = self._rows(_SELECT_USERS, ids=person.member_ids)
        invitations = self._rows(_SELECT_INVITATIONS, ids=person.invitation_ids, mails=())
        return {row[4] for row in members} | {row[2] for row in users} | {row[3] for row in invitations}

    def _name_anew(self, person: Person, mint: Callable[[], str]) -> None:
        named: list[PersonalData] = []

        def point(table: str, row_id: str, values: dict[str, str]) -> None:
            ref = mint()
            self._run(_POINT_ANEW[table], of_id=row_id, new_ref=ref)
            named.append(PersonalData(ref, row_id, {key: value for key, value in values.items() if value}))

        for row in self._rows(_SELECT_MEMBERS, ids=person.member_ids):
            if row[5] is None:
                point("member", row[0], {"name": row[1], "mail": row[2]})
        for row in self._rows(_SELECT_USERS, ids=person.member_ids):
            if row[3] is None:
                mails = read_document(row[6])
                values = {
                    "name": row[4],
                    "user_name": row[5],
                    "mail": mails[0] if mails else "",
                    "dn": row[7],
                    "external_id": row[9] or row[8],
                }
                point("directory_user", row[0], values)
        for row in self._rows(_SELECT_INVITATIONS, ids=person.invitation_ids, mails=()):
            if row[4] == _PENDING:
                point("invitation", row[0], {"mail": row[1]})
        self.insert_personal_data(named)


def find_references(body: bytes) -> Iterator[str]:
    """The references in an event's body, without their prefix."""
    return (found.group(1).decode() for found in _REFERENCE.finditer(body))
