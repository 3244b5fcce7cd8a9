"""Clear names for the ids that events and rules hold, looked up for many at once."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from audit.body import EventBody, ValueBody, parse_body
from audit.events import ERASED, PII_PREFIX
from directory.changes import AttributeMatch, GroupMatch, Match, NameMatch
from directory.ids import EventId, GroupId, MemberId, ScopeId
from mappings.explain import GroupStep, Step
from mappings.scopes import ScopeGraph
from provisioning.models import ModelCache
from provisioning.ports import EventQuery, Reader
from provisioning.queries import event_chain
from service.names import is_id

# The last is what was written about somebody.
_NAME_PARTS = ("display_name", "name", "user_name", "mail", "mails", "external_id", "text", "address")
_MEMBERSHIPS_LOOKED_AT = 50
_PAIR = re.compile(r"(?P<role>[^@]+)@(?P<scope>[0-9a-f-]{36})")


def scope_name(scopes: ScopeGraph, scope_id: ScopeId | None) -> str:
    """A scope as tables show it: `kind/host id`, and `organisation` for the organisation itself."""
    if scope_id is None:
        return ""
    node = scopes.get(scope_id)
    if node is None:
        return f"removed scope {scope_id}"
    return node.kind if scope_id == scopes.root else f"{node.kind}/{node.host_id}"


def match_label(match: Match, groups: Mapping[GroupId, str]) -> tuple[str, str]:
    """Whom a rule matches, in the words of a rules file: the kind, and its text."""
    match match:
        case GroupMatch(group_id):
            return "group", groups.get(group_id, f"deleted group {group_id}")
        case NameMatch(_, pattern):
            return "pattern", pattern
        case AttributeMatch(_, text):
            return "filter", text


def event_names(reader: Reader, models: ModelCache, bodies: Sequence[EventBody]) -> dict[str, str]:
    """Names by id and by reference for everything that the events speak of, as far as it still has one."""
    ids = {text for body in bodies for text in _texts(body) if is_id(text)}
    names: dict[str, str] = {}
    state = reader.organisation()
    model = models.get(reader, state)
    for directory in reader.directories():
        names[directory.directory_id] = f"directory '{directory.name}'"
    for connection in reader.sso.connections():
        names[connection.connection_id] = f"connection '{connection.name}'"
    for token in reader.tokens():
        names[token.token_id] = f"'{token.name}' of directory '{token.directory_name}'"
    for auditor in reader.audit_tokens.all():
        names[auditor.token_id] = f"'{auditor.name}'"
    for node in model.scopes.nodes():
        names[node.scope_id] = f"'{node.name}'"
    names[state.organisation_id] = f"'{state.name}'"
    for group in reader.groups_by_id({GroupId(text) for text in ids}).values():
        names[group.group_id] = f"group '{group.display_name}'"
    for record in reader.member_records({MemberId(text) for text in ids}).values():
        unnamed = ERASED if record.is_deleted else record.member_id
        names[record.member_id] = record.display_name or record.mail or unnamed
    names |= _personal_names(reader, bodies, names)
    for body in bodies:
        actor = body["actor"]
        if actor["type"] == "run" and actor.get("directory", "") in names:
            names[actor["id"]] = f"of {names[actor['directory']]}"
    for body in bodies:
        for text in _texts(body):
            pair = _PAIR.fullmatch(text)
            if pair is not None and pair["scope"] in names:
                names[text] = f"{pair['role']} at {names[pair['scope']]}"
    return names


def membership_events(reader: Reader, steps: Iterable[Step]) -> list[EventBody]:
    """How the person came into the group that a grant rests on: the event, and its causes, the latest first."""
    found: list[EventBody] = []
    for step in steps:
        if not isinstance(step, GroupStep):
            continue
        query = EventQuery(
            about=(step.user_id,),
            action="group.member_added",
            newest_first=True,
            limit=_MEMBERSHIPS_LOOKED_AT,
        )
        for _, body in reader.events(query):
            event = parse_body(body)
            if any(target["id"] == step.path[-1] for target in event.get("targets", ())):
                found.extend(event_chain(reader, EventId(event["id"])))
                break
    return found


def _personal_names(reader: Reader, bodies: Iterable[EventBody], known: Mapping[str, str]) -> dict[str, str]:
    """By reference, and by the ids of the targets that have it. What was erased hides no name that is known."""
    subjects: dict[str, list[str]] = {}
    for body in bodies:
        if address := body.get("context", {}).get("address"):
            subjects.setdefault(address, [])
        for target in body.get("targets", ()):
            if "pii" in target:
                subjects.setdefault(target["pii"], []).append(target["id"])
        for change in body.get("changes", ()):
            for text in (*_value_texts(change["before"]), *_value_texts(change["after"])):
                if text.startswith(PII_PREFIX):
                    subjects.setdefault(text, [])
    found = reader.personal_data(
        [bare for reference in subjects if is_id(bare := reference.removeprefix(PII_PREFIX))]
    )
    names: dict[str, str] = {}
    for reference, target_ids in subjects.items():
        values = found.get(reference.removeprefix(PII_PREFIX), {})
        name = next((values[part] for part in _NAME_PARTS if values.get(part)), "")
        if not name:
            continue
        names[reference] = name
        for target_id in target_ids:
            if name != ERASED or not (target_id in known or target_id in names):
                names[target_id] = name
    return names


def _texts(body: EventBody) -> Iterator[str]:
    for target in body.get("targets", ()):
        yield target["id"]
    for change in body.get("changes", ()):
        yield from _value_texts(change["before"])
        yield from _value_texts(change["after"])
    yield from (str(value) for value in body["cause"].values())
    yield body["actor"]["id"]


def _value_texts(value: ValueBody) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from value
