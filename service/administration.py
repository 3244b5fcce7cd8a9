"""One organisation as somebody works on it: commands, previews and readings under one actor.

Decides nothing: every change goes through `apply_changes`, and what that refuses is raised as `RefusedError`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from audit.actors import Actor
from audit.events import FieldChange, Outcome, Reason, Target
from directory.changes import Change
from directory.ids import DirectoryId, EventId, OrganisationId
from provisioning.apply import Exchange, apply_changes
from provisioning.commands import Applied, Command, Refused
from provisioning.foresight import Foresight, apply_previewed, preview_changes
from provisioning.ledger import Ledger
from provisioning.log_addresses import refer_to_address
from provisioning.ports import Reader, UnitOfWork
from service.errors import RefusedError
from service.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Administration:
    """`kind` is the kind of cause that events name: `operator` at the command line, `system` for the service.

    `request_id` and `address` are of the request in which all this happens, if there is one.
    """

    wiring: Wiring
    organisation_id: OrganisationId
    actor: Actor
    kind: str = "operator"
    request_id: str = ""
    address: str = ""

    @property
    def unit_of_work(self) -> UnitOfWork:
        return self.wiring.unit_of_work(self.organisation_id)

    def read(self) -> AbstractContextManager[Reader]:
        return self.unit_of_work.read()

    def command(
        self,
        changes: Sequence[Change],
        *,
        root: EventId | None = None,
        directory_id: DirectoryId | None = None,
    ) -> Command:
        """The changes as this actor says them."""
        return Command(
            actor=self.actor,
            changes=tuple(changes),
            kind=self.kind,
            root=root,
            directory_id=directory_id,
            request_id=self.request_id,
            address=self.address,
        )

    def apply(
        self,
        changes: Sequence[Change],
        *,
        root: EventId | None = None,
        directory_id: DirectoryId | None = None,
        exchange: Exchange | None = None,
    ) -> Applied:
        """Apply all changes or none; an `exchange` gives them in place of the first argument. Raises RefusedError."""
        wiring = self.wiring
        outcome = apply_changes(
            self.command(changes, root=root, directory_id=directory_id),
            unit_of_work=self.unit_of_work,
            clock=wiring.clock,
            mint=wiring.mint,
            models=wiring.models,
            exchange=exchange,
        )
        return _accepted(outcome)

    def preview(self, changes: Sequence[Change]) -> Foresight:
        """What the changes would do. Raises RefusedError where they would be refused."""
        wiring = self.wiring
        outcome = preview_changes(
            self.command(changes),
            unit_of_work=self.unit_of_work,
            clock=wiring.clock,
            mint=wiring.mint,
            models=wiring.models,
        )
        if isinstance(outcome, Refused):
            raise RefusedError(outcome.code.value, outcome.message)
        return outcome

    def apply_previewed(self, changes: Sequence[Change], plan_hash: str) -> Applied:
        """Apply the changes if they still do what was previewed under the hash. Raises RefusedError."""
        wiring = self.wiring
        outcome = apply_previewed(
            self.command(changes),
            plan_hash,
            unit_of_work=self.unit_of_work,
            clock=wiring.clock,
            mint=wiring.mint,
            models=wiring.models,
        )
        return _accepted(outcome)

    def record(
        self,
        action: str,
        changes: tuple[FieldChange, ...],
        targets: Sequence[Target] | None = None,
        *,
        outcome: Outcome = Outcome.SUCCESS,
        reason: Reason | None = None,
    ) -> EventId:
        """Write one event about the organisation that changes nothing in it, such as a reading of the log."""
        wiring = self.wiring
        ledger = Ledger(
            organisation_id=self.organisation_id,
            actor=self.actor,
            now=wiring.clock(),
            mint=wiring.mint,
            kind=self.kind,
            request_id=self.request_id,
        )
        about = (Target("organisation", self.organisation_id),) if targets is None else tuple(targets)
        with self.unit_of_work.write() as writer:
            ledger.address = refer_to_address(writer, self.command(()), wiring.mint)
            event_id = ledger.record(action, about, changes, outcome=outcome, reason=reason)
            writer.append_events(ledger.rows)
        return event_id


def _accepted(outcome: Applied | Refused) -> Applied:
    if isinstance(outcome, Refused):
        raise RefusedError(outcome.code.value, outcome.message, event_id=outcome.event_id)
    return outcome
