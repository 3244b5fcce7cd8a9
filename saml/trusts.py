"""What a connection's messages are verified and signed with: made once for each version of a connection, and kept."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from directory.ids import OrganisationId
from provisioning.logins import StoredConnection
from provisioning.ports import UnitOfWork
from saml.login import Trust
from saml.requests import Signer

_MOST_KEPT = 500
_ORDER = {"active": 0, "next": 1, "previous": 2}


@dataclass(frozen=True, slots=True)
class Held:
    """The connection's trust, and the key that signs what we send it; None while it has none."""

    trust: Trust
    signer: Signer | None = field(repr=False)


class TrustCache:
    """The latest connections that were asked for. Safe between threads.

    A certificate that ends by itself changes no version, so the certificates in force are part of the key.
    """

    def __init__(self, *, capacity: int = _MOST_KEPT) -> None:
        self._capacity = capacity
        self._held: OrderedDict[tuple[object, ...], Held] = OrderedDict()
        self._lock = Lock()

    def get(
        self,
        connection: StoredConnection,
        now: datetime,
        unit_of_work: Callable[[OrganisationId], UnitOfWork],
    ) -> Held:
        key = (
            connection.connection_id,
            connection.version,
            tuple(each.sha256 for each in connection.trusted(now)),
            tuple((each.key_id, each.state) for each in connection.keys),
        )
        with self._lock:
            held = self._held.pop(key, None)
            if held is not None:
                self._held[key] = held
                return held
        held = _make(connection, now, unit_of_work(connection.organisation_id))
        with self._lock:
            self._held[key] = held
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)
        return held


def _make(connection: StoredConnection, now: datetime, unit_of_work: UnitOfWork) -> Held:
    settings = connection.read
    keys = sorted(connection.keys, key=lambda key: _ORDER.get(key.state, len(_ORDER)))
    with unit_of_work.read() as reader:
        opened = [
            (key, private)
            for key in keys
            if (private := reader.sso.sp_private_key(connection.connection_id, key.key_id)) is not None
        ]
    trust = Trust(
        certificates=tuple(each.certificate for each in connection.trusted(now)),
        private_keys=tuple(private for _, private in opened),
        require_signed_assertion=settings.require_signed_assertion,
        require_encrypted_assertion=settings.require_encrypted_assertion,
    )
    active = next(((key, private) for key, private in opened if key.state == "active"), None)
    return Held(trust, None if active is None else Signer(active[1], active[0].certificate))
