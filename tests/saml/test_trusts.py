"""What is made of a connection once, and made anew when it changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from directory.ids import ConnectionId, OrganisationId
from provisioning.logins import IdPCertificate, SPKey, StoredConnection
from provisioning.ports import UnitOfWork
from saml.trusts import TrustCache
from tests.saml_forge.keys import IDP, SP, SP_NEXT
from tests.saml_forge.messages import NOW

PRIVATE = {"k1": SP.private_pem, "k2": SP_NEXT.private_pem}


class Opening:
    """A unit of work that knows private keys, and counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0
        self.sso = self

    def __call__(self, _organisation_id: OrganisationId) -> UnitOfWork:
        self.times += 1
        return cast(UnitOfWork, self)

    @contextmanager
    def read(self) -> Iterator[Any]:
        yield self

    def sp_private_key(self, _connection_id: ConnectionId, key_id: str) -> bytes | None:
        return PRIVATE.get(key_id)


def key(key_id: str, state: str, certificate: bytes) -> SPKey:
    return SPKey(key_id, certificate, state, NOW + timedelta(days=9), NOW)


STORED = StoredConnection(
    connection_id=ConnectionId("c1"),
    organisation_id=OrganisationId("o1"),
    name="idp",
    settings={},
    version=1,
    created_at=NOW,
    certificates=(
        IdPCertificate("a", IDP.certificate, "active", NOW, NOW, NOW, ends_at=NOW + timedelta(hours=1)),
    ),
    keys=(key("k2", "next", SP_NEXT.certificate), key("k1", "active", SP.certificate), key("k3", "odd", b"")),
)


def test_the_active_key_signs_and_every_key_opens() -> None:
    held = TrustCache().get(STORED, NOW, Opening())

    assert held.trust.private_keys == (SP.private_pem, SP_NEXT.private_pem)
    assert held.signer is not None
    assert held.signer.certificate == SP.certificate
    assert "PRIVATE" not in repr(held)


def test_a_connection_without_a_key_signs_nothing() -> None:
    assert TrustCache().get(replace(STORED, keys=()), NOW, Opening()).signer is None


def test_a_version_is_read_once() -> None:
    cache, opening = TrustCache(), Opening()

    assert cache.get(STORED, NOW, opening) is cache.get(STORED, NOW, opening)
    assert opening.times == 1
    cache.get(replace(STORED, version=2), NOW, opening)
    assert opening.times == 2


def test_a_certificate_that_ends_by_itself_is_trusted_no_more() -> None:
    cache, opening = TrustCache(), Opening()
    cache.get(STORED, NOW, opening)

    assert cache.get(STORED, NOW + timedelta(hours=1), opening).trust.certificates == ()


def test_the_one_longest_unused_is_forgotten() -> None:
    cache, opening = TrustCache(capacity=2), Opening()
    for version in (1, 2, 1, 3, 1):
        cache.get(replace(STORED, version=version), NOW, opening)

    assert opening.times == 3
