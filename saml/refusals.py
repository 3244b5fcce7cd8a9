"""Who is not let in: the one page, its reference, and the event that is found by it.

Strangers must not be able to fill the log. Of the refusals of one connection, address, reason and minute the first
few are events of their own; those that follow share the last one's reference and become one event with their number,
which is written when that minute is over and the endpoints are next visited.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from flask import Request, Response

from audit.actors import LoginActor
from directory.ids import ConnectionId, OrganisationId
from directory.sso_changes import DenyLogin
from provisioning.commands import Command
from saml.errors import LoginDenied
from saml.serving import Found, Parts, frame_id, network_of

KIND = "sso_assertion"
MOST_SINGLE = 5
MOST_SENDERS = 100
"""Senders of one connection and minute that are told apart; what further ones do is folded together."""
MINUTE = timedelta(minutes=1)
_REFERENCE_OCTETS = 8
# Letters and figures that nobody takes for one another, or for a word: those of Crockford's base 32.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUP = 4
_GROUPS = 3


def make_reference(random: Callable[[int], bytes]) -> str:
    """What the page shows and the event holds: sixty random bits that can be read out over a telephone."""
    number = int.from_bytes(random(_REFERENCE_OCTETS), "big")
    letters = "".join(_LETTERS[number >> 5 * at & 31] for at in range(_GROUP * _GROUPS))
    return "-".join(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))


@dataclass(slots=True)
class _Fold:
    """The refusals of one sender for one reason in one minute."""

    organisation_id: OrganisationId
    connection_id: ConnectionId | None
    reason: str
    began_at: datetime
    reference: str = ""
    single: int = 0
    folded: int = 0


_Key = tuple[OrganisationId, ConnectionId | None, str, str]


class Refusals:
    """Turns people away. One for the process; safe between threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._folds: OrderedDict[_Key, _Fold] = OrderedDict()
        self._senders: dict[tuple[OrganisationId, ConnectionId | None], int] = {}
        self._lock = Lock()

    def turn_away(self, request: Request, denied: LoginDenied, found: Found) -> Response:
        """The uniform page, and the event or its count."""
        return self.page(self.record(request, denied, found), found)

    def record(self, request: Request, denied: LoginDenied, found: Found) -> str:
        """Write the refusal down; the reference that it is found by."""
        parts = self._parts
        reference = make_reference(parts.random)
        self.write_folded()
        if found.organisation_id is None:
            # Nobody's log is there for it.
            parts.tell(denied.reason.value, reference)
            return reference
        connection_id = None if found.connection is None else found.connection.connection_id
        network = network_of(parts.address(request))
        shared = self._count(found.organisation_id, connection_id, network, denied.reason.value, reference)
        if shared:
            return shared
        check = (("check", denied.check),) if denied.check else ()
        self._write(
            found.organisation_id,
            DenyLogin(connection_id, denied.reason.value, reference, check),
            frame_id(request),
            parts.address(request),
        )
        return reference

    def page(self, reference: str, found: Found) -> Response:
        """The page; the new login that it offers follows from the address alone."""
        base_url = self._parts.base_url
        connection = found.connection
        is_open = connection is not None and not connection.read.disabled
        return self._parts.pages.refused(
            reference,
            f"{base_url}/saml/{connection.connection_id}/login"
            if connection is not None and is_open
            else f"{base_url}/sso/login",
        )

    def write_folded(self) -> None:
        """Write the numbers of the minutes that are over."""
        now = self._parts.clock()
        over: list[_Fold] = []
        with self._lock:
            while self._folds:
                key, fold = next(iter(self._folds.items()))
                if fold.began_at <= now < fold.began_at + MINUTE:
                    break
                del self._folds[key]
                over.append(fold)
            if not self._folds:
                self._senders.clear()
        for fold in over:
            if fold.folded:
                counted = (("folded", fold.folded),)
                self._write(
                    fold.organisation_id, DenyLogin(fold.connection_id, fold.reason, fold.reference, counted)
                )

    def _count(
        self,
        organisation_id: OrganisationId,
        connection_id: ConnectionId | None,
        network: str,
        reason: str,
        reference: str,
    ) -> str:
        """The reference of the event that this refusal is counted with; empty when it is one of its own."""
        with self._lock:
            whose = (organisation_id, connection_id)
            key: _Key = (*whose, network, reason)
            if key not in self._folds:
                senders = self._senders.get(whose, 0)
                if senders >= MOST_SENDERS:
                    key = (*whose, "", reason)
                else:
                    self._senders[whose] = senders + 1
            fold = self._folds.get(key)
            if fold is None:
                fold = _Fold(organisation_id, connection_id, reason, self._parts.clock())
                self._folds[key] = fold
            if fold.single < MOST_SINGLE:
                fold.single += 1
                fold.reference = reference
                return ""
            fold.folded += 1
            return fold.reference

    def _write(
        self, organisation_id: OrganisationId, change: DenyLogin, request_id: str = "", address: str = ""
    ) -> None:
        parts = self._parts
        actor = LoginActor(parts.mint.id())
        command = Command(actor, (change,), KIND, request_id=request_id, address=address)
        parts.apply(organisation_id, command)
