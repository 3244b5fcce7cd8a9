"""The events of one transaction, in the order in which they happened, each with its cause."""

from collections.abc import Sequence
from datetime import datetime

from audit.actors import Actor, LoginActor
from audit.events import Cause, Event, FieldChange, Outcome, Reason, Target
from audit.render import render_event
from directory.ids import EventId, OrganisationId
from provisioning.ports import Mint
from provisioning.state import EventRow


class Ledger:
    """Collects the events of one command and renders them when the transaction is about to end.

    `root` is the event that began it all; without one, each event recorded without a parent is a root of its own.
    `address` is the reference to where the command came from.
    """

    def __init__(
        self,
        *,
        organisation_id: OrganisationId,
        actor: Actor,
        now: datetime,
        mint: Mint,
        kind: str,
        root: EventId | None = None,
        run_id: str = "",
        request_id: str = "",
    ) -> None:
        self._organisation_id = organisation_id
        self._actor = actor
        self._now = now
        self._mint = mint
        self._kind = kind
        self._root = root
        self._run_id = run_id
        self._request_id = request_id
        self.address = ""
        self._roots: dict[EventId, EventId] = {}
        self._rows: list[EventRow] = []

    def record(
        self,
        action: str,
        targets: Sequence[Target],
        changes: tuple[FieldChange, ...] = (),
        *,
        parent: EventId | None = None,
        kind: str = "",
        reason: Reason | None = None,
        outcome: Outcome = Outcome.SUCCESS,
        rule_id: str = "",
        rule_version: int = 0,
        group_id: str = "",
    ) -> EventId:
        """Note that something happened. A parent from another transaction must have been adopted, or be a root."""
        event_id = EventId(self._mint.id())
        if parent is None:
            parent = self._root
        root = None if parent is None else self.root_of(parent)
        if root is not None:
            self._roots[event_id] = root
        event = Event(
            id=event_id,
            organisation=self._organisation_id,
            time=self._now,
            salt=self._mint.salt(),
            action=action,
            outcome=outcome,
            actor=self._actor,
            targets=tuple(targets),
            cause=Cause(
                kind=kind or self._kind,
                root=root,
                parent=parent,
                rule_id=rule_id,
                rule_version=rule_version,
                group_id=group_id,
                run_id=self._run_id,
                scim_request_id=self._request_id if self._kind == "scim_request" else "",
                login_id=self._actor.login_id if isinstance(self._actor, LoginActor) else "",
            ),
            changes=changes,
            reason=reason,
            request_id=self._request_id,
            address=self.address,
        )
        subject = targets[0].id if targets else ""
        self._rows.append(EventRow(event_id, self._now, action, subject, render_event(event)))
        return event_id

    def begin(self, action: str, target: Target, plan_hash: str) -> EventId:
        """Record the event that all the others of this ledger follow from."""
        self._root = self.record(action, (target,), (FieldChange("plan_hash", None, plan_hash),))
        return self._root

    def adopt(self, event_id: EventId, root: EventId) -> None:
        """Know an event of another transaction as one that others may follow from, and the root of its chain."""
        self._roots[event_id] = root

    def root_of(self, event_id: EventId) -> EventId:
        """The event that began the chain of `event_id`; itself when it is a root."""
        return self._roots.get(event_id, event_id)

    @property
    def rows(self) -> list[EventRow]:
        return self._rows

    @property
    def event_ids(self) -> tuple[EventId, ...]:
        return tuple(row.event_id for row in self._rows)
