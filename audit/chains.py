"""Walks the cause chain of an event to its root. Knows events by a lookup only."""

from collections.abc import Callable

from audit.body import EventBody
from audit.errors import ChainError
from directory.ids import EventId

EventLookup = Callable[[EventId], EventBody | None]
"""Finds an event of the organisation by its id; None when there is none (or none any more)."""


def walk_chain(event_id: EventId, lookup: EventLookup) -> tuple[EventBody, ...]:
    """Follow `cause.parent` from the event to its root; the event comes first, the root last.

    Raises: `ChainError` when an event is not found, when the chain returns to itself, when it ends at another
    root than its events name, or when it leaves the organisation.
    """
    chain: list[EventBody] = []
    seen: set[EventId] = set()
    following: EventId | None = event_id
    while following is not None:
        if following in seen:
            message = "the chain returns to itself"
            raise ChainError(message, event_id=following)
        seen.add(following)
        body = lookup(following)
        if body is None:
            message = "there is no such event"
            raise ChainError(message, event_id=following)
        chain.append(body)
        parent = body["cause"].get("parent")
        following = EventId(parent) if parent is not None else None
    root = chain[-1]
    for body in chain:
        if body["organisation"] != root["organisation"]:
            message = f"its root {root['id']!r} belongs to another organisation"
            raise ChainError(message, event_id=body["id"])
        if body is not root and body["cause"].get("root") != root["id"]:
            message = f"it names another root than {root['id']!r}, where its parents lead"
            raise ChainError(message, event_id=body["id"])
    return tuple(chain)
