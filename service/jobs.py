"""What the service does by itself: each job is a plain function that ends quickly, may be run again, by several
processes at once, and decides nothing that `apply_changes` does not decide.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from audit.actors import SystemActor
from directory.changes import Change, DeleteUser, EndInvitation, EndOverride, NoteTokenEnding
from directory.ids import DirectoryId, OrganisationId
from provisioning.apply import drain_pending
from provisioning.ports import Reader
from service.administration import Administration
from service.errors import RefusedError
from service.runs import PULLED_KINDS
from service.wiring import Wiring
from storage.event_rows import has_waiting_events, index_waiting_events

_ORGANISATIONS_AT_ONCE = 100
_AT_ONCE = 500
_REQUESTS_AT_ONCE = 5_000
INDEX_SECONDS = 0.5
"""How often it is looked for events without terms."""
NOTICE_DAYS = (30, 7, 1)
"""Days before its end at which a token is spoken of."""
RUNS_KEPT = 200
"""Runs of a directory that its history holds."""
RUNS_KEPT_FOR = timedelta(days=90)

_log = structlog.get_logger("usher.jobs")


def end_what_is_due(wiring: Wiring) -> int:
    """End overrides and invitations whose time is up; how many ended.

    Each is a command of its own: one that is refused must not keep the others from ending.
    """
    now = wiring.clock()
    ended = 0
    for organisation_id in wiring.store.organisations_with_due(now, _ORGANISATIONS_AT_ONCE):
        administration = as_system(wiring, organisation_id, "scheduler")
        with administration.read() as reader:
            overrides = reader.overrides_due(now, _AT_ONCE)
            invitations = reader.invitations_due(now, _AT_ONCE)
        ended += _apply_each(
            administration, (EndOverride(override.override_id, expired=True) for override in overrides)
        )
        ended += _apply_each(
            administration,
            (EndInvitation(invitation.invitation_id, expired=True) for invitation in invitations),
        )
    return ended


def _apply_each(administration: Administration, changes: Iterable[Change]) -> int:
    done = 0
    for change in changes:
        try:
            applied = administration.apply([change])
        except RefusedError as error:
            _log.warning(
                "refused", organisation=administration.organisation_id, change=repr(change), reason=str(error)
            )
        else:
            # Nothing is written where another process has been quicker.
            done += bool(applied.events)
    return done


def drain(wiring: Wiring) -> int:
    """Work out the access of everybody whom a crash has left queued; how many organisations had some."""
    organisations = wiring.store.organisations_with_pending(_ORGANISATIONS_AT_ONCE)
    for organisation_id in organisations:
        administration = as_system(wiring, organisation_id, "scheduler")
        drain_pending(
            administration.command(()),
            unit_of_work=administration.unit_of_work,
            clock=wiring.clock,
            mint=wiring.mint,
            models=wiring.models,
        )
    return len(organisations)


def index_events(wiring: Wiring) -> int:
    """Give events the terms by which they are found, so that neither writers nor searches have to; how many."""
    indexed = 0
    with wiring.database.read() as connection:
        is_waiting = has_waiting_events(connection)
    while is_waiting:
        with wiring.database.write() as connection:
            number = index_waiting_events(connection)
        indexed += number
        is_waiting = number > 0
    return indexed


def delete_after_retention(wiring: Wiring) -> int:
    """Delete directory users who have been absent for longer than the retention; how many."""
    before = wiring.clock() - wiring.settings.retention
    deleted = 0
    for state in wiring.store.organisations():
        administration = as_system(wiring, state.organisation_id, "retention", kind="retention")
        with administration.read() as reader:
            directories = [known for known in reader.directories() if known.kind in PULLED_KINDS]
        for directory in directories:
            while number := _delete_some(administration, directory.directory_id, before):
                deleted += number
    return deleted


@dataclass(slots=True)
class _LongAbsent:
    """The deletion of whoever is still absent when the organisation is locked: a run may have brought some back."""

    directory_id: DirectoryId
    before: datetime
    number: int = 0

    def changes(self, reader: Reader) -> tuple[Change, ...]:
        users = reader.users_to_delete(self.directory_id, self.before, _AT_ONCE)
        self.number = len(users)
        return tuple(map(DeleteUser, users))

    def conclude(self, reader: Reader) -> None:
        """Nobody is answered."""


def _delete_some(administration: Administration, directory_id: DirectoryId, before: datetime) -> int:
    absent = _LongAbsent(directory_id, before)
    administration.apply((), directory_id=directory_id, exchange=absent)
    return absent.number


def delete_old_runs(wiring: Wiring) -> int:
    """Delete from the history of runs what is older than is kept, or more than is kept; how many."""
    before = wiring.clock() - RUNS_KEPT_FOR
    deleted = 0
    for state in wiring.store.organisations():
        unit_of_work = wiring.unit_of_work(state.organisation_id)
        with unit_of_work.read() as reader:
            directories = [one.directory_id for one in reader.directories() if one.kind in PULLED_KINDS]
        for directory_id in directories:
            with unit_of_work.write() as writer:
                deleted += writer.delete_runs(directory_id, before, RUNS_KEPT)
    return deleted


def note_ending_tokens(wiring: Wiring) -> int:
    """Write down each token that ends soon, once for each of `NOTICE_DAYS`; how many were."""
    noted = 0
    for days in sorted(NOTICE_DAYS):
        # The nearest step first: it stands for those before it.
        for token in wiring.pushes.tokens_ending(wiring.clock(), days, _AT_ONCE):
            administration = as_system(wiring, token.organisation_id, "scheduler")
            if _apply_each(administration, [NoteTokenEnding(token.token_id, days)]):
                noted += 1
                _log.warning(
                    "token ends soon",
                    organisation=token.organisation_id,
                    directory=token.directory_name,
                    token=token.name,
                    prefix=token.prefix,
                    expires_at=f"{token.expires_at:%Y-%m-%dT%H:%M:%SZ}",
                )
    return noted


def delete_logged_requests(wiring: Wiring) -> int:
    """Delete from the request log what is older than the settings keep; how many."""
    before = wiring.clock() - timedelta(days=wiring.settings.scim_log_days)
    deleted = 0
    while number := wiring.pushes.delete_requests(before, _REQUESTS_AT_ONCE):
        deleted += number
    return deleted


def as_system(
    wiring: Wiring, organisation_id: OrganisationId, component: str, *, kind: str = "system"
) -> Administration:
    """One organisation as the service itself works on it; `component` is the part of it that events name."""
    return Administration(wiring, organisation_id, SystemActor(component), kind)
