"""Certificates of a connection: which are taken, how they end, and when somebody is told."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from audit.actors import SystemActor
from directory.sso_changes import (
    NoteCertificateEnding,
    PutSPKey,
    RetireIdPCertificate,
    RetireSPKey,
)
from provisioning.certificates import MOST_CERTIFICATES
from provisioning.errors import RefusalCode
from tests.builders import MONDAY, World, on_sqlite_only
from tests.provisioning.signing import Provider, certificate, changed, fingerprint, pem, rsa_key


def test_a_staged_certificate_verifies_nothing_until_it_is_active(world: World) -> None:
    provider = Provider(world)
    der = certificate()

    world.do(provider.certificate(der, "staged"))
    assert provider.stored.trusted(MONDAY) == ()
    world.do(provider.certificate(der))
    world.do(provider.certificate(der))

    assert [one.certificate for one in provider.stored.trusted(MONDAY)] == [der]
    assert provider.stored.version == 3
    added, updated = world.new_bodies()
    assert changed(added) == {
        "sha256": fingerprint(der),
        "owner": "idp",
        "state": "staged",
        "not_after": "2027-03-02T09:00:00Z",
    }
    assert (updated["action"], changed(updated)["state"]) == ("certificate.updated", "active")


def test_a_retired_certificate_verifies_nothing_at_once(world: World) -> None:
    provider = Provider(world)
    der = certificate()
    world.do(provider.certificate(der))
    world.events()

    world.do(RetireIdPCertificate(provider.connection_id, fingerprint(der)))
    world.do(RetireIdPCertificate(provider.connection_id, fingerprint(der)))

    assert provider.stored.trusted(MONDAY) == ()
    assert world.events() == ["certificate.retired"]
    world.do(provider.certificate(der))
    assert len(provider.stored.trusted(MONDAY)) == 1


def test_a_certificate_can_be_retired_from_a_moment_to_come(world: World) -> None:
    provider = Provider(world)
    der, ends_at = certificate(), MONDAY + timedelta(hours=1)
    world.do(provider.certificate(der))
    world.events()

    world.do(RetireIdPCertificate(provider.connection_id, fingerprint(der), ends_at))
    world.do(RetireIdPCertificate(provider.connection_id, fingerprint(der), ends_at))

    assert len(provider.stored.trusted(MONDAY)) == 1
    assert provider.stored.trusted(ends_at) == ()
    (body,) = world.new_bodies()
    assert changed(body)["ends_at"] == "2026-03-02T10:00:00Z"
    world.do(provider.certificate(der))
    (body,) = world.new_bodies()
    assert body["changes"][-1] == {"path": "ends_at", "before": "2026-03-02T10:00:00Z", "after": None}


@on_sqlite_only
@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"junk",
        certificate()[:-1],
        bytes(20_000),
        certificate(key=rsa_key(0, 1024)),
        certificate(key=ec.generate_private_key(ec.SECP224R1())),
    ],
    ids=["empty", "junk", "cut off", "long", "short RSA", "small curve"],
)
def test_what_cannot_verify_is_no_certificate(world: World, der: bytes) -> None:
    provider = Provider(world)

    assert world.refuse(provider.certificate(der)).code is RefusalCode.INVALID


@on_sqlite_only
def test_an_expired_certificate_is_taken_unless_the_connection_is_strict(world: World) -> None:
    provider = Provider(world)
    world.do(provider.certificate(certificate(begins_at=MONDAY - timedelta(days=9), days=1)))
    assert len(provider.stored.trusted(MONDAY)) == 1

    world.do(provider.put(refuse_expired_certificates=True))
    assert provider.stored.trusted(MONDAY) == ()


@on_sqlite_only
def test_certificates_are_bounded_and_retired_ones_do_not_count(world: World) -> None:
    provider = Provider(world)
    ders = [certificate(str(number)) for number in range(MOST_CERTIFICATES + 1)]
    world.do(*map(provider.certificate, ders[:-1]))

    assert (
        "has 20 certificates, the most there may be" in world.refuse(provider.certificate(ders[-1])).message
    )
    world.do(RetireIdPCertificate(provider.connection_id, fingerprint(ders[0])))
    world.do(provider.certificate(ders[-1]))
    assert world.refuse(provider.certificate(ders[0])).code is RefusalCode.INVALID


@on_sqlite_only
def test_what_is_not_there_is_told(world: World) -> None:
    provider = Provider(world)
    unknown = fingerprint(b"x")

    for change in (
        RetireIdPCertificate(provider.connection_id, unknown),
        NoteCertificateEnding(provider.connection_id, unknown, 7),
    ):
        assert world.refuse(change).code is RefusalCode.NOT_FOUND
    assert "staged or active, not 'gone'" in world.refuse(provider.certificate(certificate(), "gone")).message


def test_the_nearing_end_is_noted_once_for_each_step(world: World) -> None:
    provider = Provider(world)
    der = certificate(days=61)
    world.do(provider.certificate(der), provider.key("k0", 1), provider.key("k1", state="next"))
    sp = fingerprint(provider.stored.keys[1].certificate)
    world.events()

    told = []
    for days, step in ((0, 60), (1, 60), (1, 60), (30, 30), (23, 7), (6, 1), (0, 1)):
        world.clock.move(days=days)
        said = NoteCertificateEnding(provider.connection_id, fingerprint(der), step)
        world.do(said, NoteCertificateEnding(provider.connection_id, sp, step), actor=SystemActor("jobs"))
        told.append([changed(body)["days"] for body in world.new_bodies()])
    world.clock.move(days=300)
    world.do(NoteCertificateEnding(provider.connection_id, sp, 30), actor=SystemActor("jobs"))

    assert told == [[], [60], [], [30], [7], [1], []]
    (body,) = world.new_bodies()
    assert changed(body)["owner"] == "sp"
    assert provider.stored.version == 4


# Our own keys


def test_two_keys_are_published_while_one_is_rotated(world: World) -> None:
    provider = Provider(world)
    world.do(provider.key("k1"))
    world.do(provider.key("k2", 1, "next"))
    assert states(provider) == {"k1": "active", "k2": "next"}

    world.do(provider.key("k2", 1))
    assert states(provider) == {"k1": "previous", "k2": "active"}
    with world.read() as reader:
        assert reader.sso.sp_private_key(provider.connection_id, "k1") == pem(rsa_key(0))
        assert reader.sso.sp_private_key(provider.connection_id, "k2") == pem(rsa_key(1))
    assert "two keys are published already" in world.refuse(provider.key("k3", 2)).message

    world.do(RetireSPKey(provider.connection_id, "k1"))
    world.do(RetireSPKey(provider.connection_id, "k1"))
    assert states(provider) == {"k2": "active"}
    assert world.events() == [
        "certificate.added",
        "certificate.added",
        "certificate.updated",
        "command.refused",
        "certificate.retired",
    ]
    with world.read() as reader:
        assert reader.sso.sp_private_key(provider.connection_id, "k1") is None


def states(provider: Provider) -> dict[str, str]:
    return {key.key_id: key.state for key in provider.stored.keys}


def test_the_key_that_signs_stays(world: World) -> None:
    provider = Provider(world)
    world.do(provider.key("k1"))
    world.events()

    assert world.refuse(RetireSPKey(provider.connection_id, "k1")).code is RefusalCode.IN_USE
    world.do(provider.key("k1"))
    world.do(provider.key("k1", state="next"))
    assert states(provider) == {"k1": "active"}
    assert world.events() == ["command.refused"]


def test_a_private_key_is_nowhere_in_the_record(world: World) -> None:
    provider = Provider(world)
    put = provider.key("k1")
    world.do(put)

    assert "PRIVATE" not in repr(put)
    assert "PRIVATE" not in str(world.new_bodies())


@on_sqlite_only
def test_what_cannot_be_a_key_of_ours_is_refused(world: World) -> None:
    provider = Provider(world)
    good = provider.key("k1")
    curve = ec.generate_private_key(ec.SECP256R1())
    bad = [
        provider.key("k1", state="old"),
        provider.key("k1", state="next"),
        provider.key(""),
        provider.key("k" * 65),
        PutSPKey(good.connection_id, "k1", good.certificate, b"junk"),
        PutSPKey(good.connection_id, "k1", good.certificate, pem(rsa_key(1))),
        PutSPKey(good.connection_id, "k1", certificate("sp", curve), pem(curve)),
    ]

    assert {world.refuse(change).code for change in bad} == {RefusalCode.INVALID}
    world.do(good)
    other = provider.key("k1", 1)
    assert "is another one" in world.refuse(other).message


@on_sqlite_only
def test_a_certificate_with_an_unknown_kind_of_key_is_refused(world: World) -> None:
    provider = Provider(world)
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(MONDAY)
        .not_valid_after(MONDAY + timedelta(days=1))
        .sign(key, None)
    )

    refused = world.refuse(provider.certificate(signed.public_bytes(Encoding.DER)))

    assert refused.message == (
        "a certificate holds an RSA key of 2048 bits or more, or one on P-256, P-384 or P-521"
    )
