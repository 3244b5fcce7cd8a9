"""What a client said as the facts that the write path takes.

In a directory of kind `scim` the external id is the resource's own `id`; the client's `externalId` is `client_id`.
"""

from collections.abc import Mapping

from directory.facts import Activity, GroupFacts, UserFacts, find_fault
from directory.ids import ExternalId
from directory.schema import USER, entries_of, flatten
from scim.errors import InvalidValueError

_NAMES = frozenset(
    {"userName", "displayName", "externalId", "name.givenName", "name.familyName", "emails.value"}
)
_OWN_COLUMNS = ("userName", "displayName", "name.givenName", "name.familyName", "externalId", "active")


def user_facts(user_id: str, resource: Mapping[str, object], active: bool) -> UserFacts:
    """Make a user's facts of what the client said. Raises InvalidValueError for text that cannot be stored.

    `attributes` keep the entries of `emails` in the document's order, whatever order `mails` has.
    """
    document = {**resource, "active": active}
    attributes = flatten(document, USER)
    for path, texts in attributes.items():
        for text in texts:
            _check_text(path, text, is_name=path in _NAMES)
    found = {path: attributes.pop(path, ("",))[0] for path in _OWN_COLUMNS}
    display_name = found["displayName"]
    if not display_name and "name.formatted" in attributes:
        display_name = attributes["name.formatted"][0]
        _check_text("name.formatted", display_name)
    return UserFacts(
        external_id=ExternalId(user_id),
        user_name=found["userName"],
        display_name=display_name,
        given_name=found["name.givenName"],
        family_name=found["name.familyName"],
        mails=_mails(resource.get("emails")),
        activity=Activity.ACTIVE if active else Activity.DISABLED,
        attributes=attributes,
        client_id=found["externalId"],
        resource=document,
    )


def group_facts(group_id: str, display_name: str, client_id: str) -> GroupFacts:
    """Make a group's facts of what the client said. Raises InvalidValueError for text that cannot be stored."""
    _check_text("displayName", display_name)
    _check_text("externalId", client_id)
    return GroupFacts(ExternalId(group_id), display_name, client_id=client_id)


def _mails(emails: object) -> tuple[str, ...]:
    """The addresses, each once, the primary one first."""
    entries = entries_of(emails)
    entries.sort(key=lambda entry: entry.get("primary") is not True)
    values = (entry.get("value") for entry in entries)
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def _check_text(path: str, text: str, *, is_name: bool = True) -> None:
    fault = find_fault(text, is_name=is_name)
    if fault:
        raise InvalidValueError(f"{path} {fault}")
