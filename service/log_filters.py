"""What people say to pick events, made into a query: names become ids, and no name or mail is kept."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypedDict

from directory.facts import name_key
from directory.ids import MemberId
from provisioning.log_addresses import normal_address
from provisioning.models import ModelCache
from provisioning.ports import EventQuery, Reader
from service.errors import InputError, NotFoundError
from service.names import find_group, find_role, is_id


class EventFilter(TypedDict, total=False):
    """`about` is an id or a mail, `group` and `role` names or ids; the rest is as `EventQuery` has it."""

    action: str
    about: str
    actor: str
    actor_type: str | None
    group: str
    rule: str
    role: str
    outcome: str | None
    cause: str | None
    run: str
    request: str
    address: str
    since: datetime | None
    until: datetime | None


def resolve_filter(reader: Reader, models: ModelCache, said: EventFilter) -> EventQuery:
    """Make the query of what was said. Raises NotFoundError or AmbiguousNameError for a name that is none of one."""
    role = said.get("role", "")
    group = said.get("group", "")
    return EventQuery(
        action=said.get("action", ""),
        about=_find_about(reader, said.get("about", "")),
        actor=said.get("actor", ""),
        actor_type=said.get("actor_type") or "",
        # A group that is deleted has its events all the same.
        group=group.lower() if is_id(group) else find_group(reader, group).group_id if group else "",
        rule=said.get("rule", ""),
        role=find_role(models.get(reader, reader.organisation()), role) if role else "",
        outcome=said.get("outcome") or "",
        cause=said.get("cause") or "",
        run=said.get("run", ""),
        request=said.get("request", ""),
        address=_find_address(reader, said.get("address", "")),
        since=said.get("since"),
        until=said.get("until"),
    )


def _find_address(reader: Reader, text: str) -> tuple[str, ...]:
    """The references to an address, one for each subject that it is of."""
    if not text:
        return ()
    address = normal_address(text)
    if not address:
        raise InputError([f"'{text}' is no address; write one such as 192.0.2.7 or 2001:db8::7"])
    found = reader.address_references(address)
    if not found:
        raise NotFoundError(f"nothing came from the address {address}, as far as addresses are kept")
    return tuple(sorted(found))


def _find_about(reader: Reader, text: str) -> tuple[str, ...]:
    """The ids that a text means: itself, or whoever has or had it as a mail, as member and as directory user."""
    if "@" not in text:
        return (text.lower() if is_id(text) else text,) if text else ()
    key = name_key(text)
    members = reader.members_by_mail([key]).get(key, set())
    found = {*reader.subjects_by_mail(text), *members}
    users = reader.users_of_members({MemberId(subject) for subject in found})
    found.update(user.user_id for user in users)
    found.update(user.member_id for user in users)
    if not found:
        raise NotFoundError(f"nobody has or had the mail '{text}', as far as names are kept")
    return tuple(sorted(found))


def told_filter(query: EventQuery) -> Mapping[str, str]:
    """The filters of a query for the event that tells of it: ids and words of ours."""
    said = {
        "action": query.action,
        "about": " ".join(query.about),
        "actor": query.actor,
        "actor_type": query.actor_type,
        "group": query.group,
        "rule": query.rule,
        "role": query.role,
        "outcome": query.outcome,
        "cause": query.cause,
        "run": query.run,
        "request": query.request,
        # The references, not the address: they go with whom it is of.
        "address": " ".join(query.address),
    }
    return {name: value for name, value in said.items() if value}
