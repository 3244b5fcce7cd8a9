"""Certificates of a connection, the identity provider's and our own: read, stored, retired, and announced to end."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from audit.events import FieldChange, Target
from directory.ids import ConnectionId, EventId
from directory.sso_changes import (
    NoteCertificateEnding,
    PutIdPCertificate,
    PutSPKey,
    RetireIdPCertificate,
    RetireSPKey,
)
from provisioning.errors import Refusal, RefusalCode
from provisioning.logins import IdPCertificate, SPKey, StoredConnection
from provisioning.work import Work

MOST_CERTIFICATES = 20
"""Certificates of one identity provider that are not retired."""

_LONGEST_DER = 16_384
_SMALLEST_RSA = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_MOST_KEYS = 2
_LONGEST_KEY_ID = 64


def connection_target(connection_id: ConnectionId, *, role: str = "subject") -> Target:
    return Target("connection", connection_id, role=role)


def find_connection(work: Work, connection_id: ConnectionId) -> StoredConnection:
    """The connection. Raises Refusal when there is none."""
    connection = work.writer.sso.connection(connection_id)
    if connection is None:
        raise Refusal(RefusalCode.NOT_FOUND, f"there is no connection '{connection_id}' in this organisation")
    return connection


def step_version(work: Work, connection: StoredConnection) -> None:
    """What decides about logins has changed: what was made of the connection before is good no more."""
    work.writer.sso.put_connection(replace(connection, version=connection.version + 1), work.now)


class ReadCertificate(NamedTuple):
    """What is needed of a certificate."""

    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    not_before: datetime
    not_after: datetime


def read_certificate(der: bytes) -> ReadCertificate:
    """A certificate with a key that a signature may be verified with. Raises Refusal.

    An end that is past is no fault: the key goes on verifying, with a warning, unless the connection says otherwise.
    """
    if len(der) > _LONGEST_DER:
        raise _invalid("a certificate has at most 16 KiB")
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        moments = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _invalid("this is no X.509 certificate in DER, or its key is of an unknown kind") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SMALLEST_RSA:
        return ReadCertificate(key, *moments)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return ReadCertificate(key, *moments)
    raise _invalid("a certificate holds an RSA key of 2048 bits or more, or one on P-256, P-384 or P-521")


def _new_certificate(der: bytes, state: str, now: datetime) -> IdPCertificate:
    read = read_certificate(der)
    return IdPCertificate(
        sha256=sha256(der).hexdigest(),
        certificate=der,
        state=state,
        not_before=read.not_before,
        not_after=read.not_after,
        added_at=now,
    )


def put_idp_certificate(work: Work, change: PutIdPCertificate) -> None:
    """Store a certificate of the identity provider, or give a stored one another state."""
    connection = find_connection(work, change.connection_id)
    if change.state not in {"staged", "active"}:
        raise _invalid(f"a certificate is put as staged or active, not '{change.state}'")
    if put_certificate(work, connection, change.certificate, change.state):
        step_version(work, connection)


def put_certificate(
    work: Work,
    connection: StoredConnection,
    der: bytes,
    state: str,
    *,
    parent: EventId | None = None,
    revives: bool = True,
) -> bool:
    """The certificate is in that state; whether it was not. Raises Refusal.

    `revives`: also one that somebody has retired.
    """
    put = _new_certificate(der, state, work.now)
    known = next((one for one in connection.certificates if one.sha256 == put.sha256), None)
    if known is not None and (
        (known.state, known.ends_at) == (state, None) or (known.state == "retired" and not revives)
    ):
        return False
    live = [one for one in connection.certificates if one.state != "retired"]
    if (known is None or known.state == "retired") and len(live) >= MOST_CERTIFICATES:
        raise _invalid(
            f"the connection has {len(live)} certificates, the most there may be; retire one first"
        )
    if known is not None:
        put = replace(known, state=state, ends_at=None)
    work.writer.sso.put_certificate(connection.connection_id, put)
    _record(
        work,
        "certificate.updated" if known else "certificate.added",
        connection,
        put.sha256,
        FieldChange("state", known.state if known else None, state),
        FieldChange("not_after", None, said(put.not_after)),
        *((FieldChange("ends_at", said(known.ends_at), None),) if known and known.ends_at else ()),
        owner="idp",
        parent=parent,
    )
    return True


def retire_idp_certificate(work: Work, change: RetireIdPCertificate) -> None:
    """The certificate verifies nothing from a moment on, or from now on. One that is retired stays as it is."""
    connection = find_connection(work, change.connection_id)
    known = next((one for one in connection.certificates if one.sha256 == change.sha256), None)
    if known is None:
        raise Refusal(RefusalCode.NOT_FOUND, f"the connection has no certificate '{change.sha256[:64]}'")
    ends_at = change.ends_at if change.ends_at is not None and change.ends_at > work.now else None
    if known.state == "retired" or (ends_at is not None and known.ends_at == ends_at):
        return
    if ends_at is None:
        end_certificates(work, connection, [replace(known, state="retired", ends_at=None)])
    else:
        end_certificates(work, connection, [replace(known, ends_at=ends_at)])
    step_version(work, connection)


def end_certificates(
    work: Work,
    connection: StoredConnection,
    ended: Iterable[IdPCertificate],
    *,
    parent: EventId | None = None,
) -> None:
    """Store certificates that end, now or at a moment to come, an event for each."""
    for certificate in ended:
        work.writer.sso.put_certificate(connection.connection_id, certificate)
        at = () if certificate.ends_at is None else (FieldChange("ends_at", None, said(certificate.ends_at)),)
        _record(
            work,
            "certificate.retired",
            connection,
            certificate.sha256,
            FieldChange("state", None, certificate.state),
            *at,
            owner="idp",
            parent=parent,
        )


def note_certificate_ending(work: Work, change: NoteCertificateEnding) -> None:
    """Write down that a certificate ends soon, unless that was written for as few days already."""
    connection = find_connection(work, change.connection_id)
    ends_by = work.now + timedelta(days=change.days)
    for certificate in connection.certificates:
        if certificate.sha256 == change.sha256 and certificate.state != "retired":
            if certificate.not_after <= ends_by and _is_nearer(certificate.noticed_days, change.days):
                noticed = replace(certificate, noticed_days=change.days)
                work.writer.sso.put_certificate(connection.connection_id, noticed)
                _record_ending(work, connection, change, certificate.not_after, "idp")
            return
    for key in connection.keys:
        if sha256(key.certificate).hexdigest() == change.sha256:
            if key.not_after <= ends_by and _is_nearer(key.noticed_days, change.days):
                noticed_key = replace(key, noticed_days=change.days)
                work.writer.sso.put_key(connection.connection_id, noticed_key, None)
                _record_ending(work, connection, change, key.not_after, "sp")
            return
    raise Refusal(RefusalCode.NOT_FOUND, f"the connection has no live certificate '{change.sha256[:64]}'")


def _is_nearer(noticed_days: int | None, days: int) -> bool:
    return noticed_days is None or days < noticed_days


def _record_ending(
    work: Work, connection: StoredConnection, change: NoteCertificateEnding, not_after: datetime, owner: str
) -> None:
    _record(
        work,
        "certificate.expiring",
        connection,
        change.sha256,
        FieldChange("days", None, change.days),
        FieldChange("not_after", None, said(not_after)),
        owner=owner,
    )


# Our own keys


def put_sp_key(work: Work, change: PutSPKey) -> None:
    """Store a key of ours, or let a stored one sign. Two at most are published, the old one until it is retired."""
    connection = find_connection(work, change.connection_id)
    if change.state not in {"next", "active"}:
        raise _invalid(f"a key is put as next or active, not '{change.state}'")
    known = next((key for key in connection.keys if key.key_id == change.key_id), None)
    if known is not None and known.certificate != change.certificate:
        raise _invalid(f"there is a key '{change.key_id}' that is another one; use a new id")
    if known is not None and known.state in {change.state, "active"}:
        return
    if known is None:
        _check_new_key(connection, change)
    put = SPKey(
        key_id=change.key_id,
        certificate=change.certificate,
        state=change.state,
        not_after=read_certificate(change.certificate).not_after,
        added_at=known.added_at if known else work.now,
        noticed_days=known.noticed_days if known else None,
    )
    if change.state == "active":
        for key in connection.keys:
            if key.state == "active":
                # It signs no more; what was encrypted for it is opened until it is retired.
                work.writer.sso.put_key(connection.connection_id, replace(key, state="previous"), None)
    work.writer.sso.put_key(connection.connection_id, put, change.private_key if known is None else None)
    _record(
        work,
        "certificate.updated" if known else "certificate.added",
        connection,
        sha256(put.certificate).hexdigest(),
        FieldChange("state", known.state if known else None, put.state),
        FieldChange("not_after", None, said(put.not_after)),
        owner="sp",
    )
    step_version(work, connection)


def _check_new_key(connection: StoredConnection, change: PutSPKey) -> None:
    if not change.key_id or len(change.key_id) > _LONGEST_KEY_ID or not change.key_id.isprintable():
        raise _invalid(f"a key has an id of at most {_LONGEST_KEY_ID} printable characters")
    if len(connection.keys) >= _MOST_KEYS:
        raise _invalid("two keys are published already; retire the older one before another is made")
    if change.state == "next" and not connection.keys:
        raise _invalid("the first key of a connection is active")
    public = read_certificate(change.certificate).public_key
    try:
        private = load_pem_private_key(change.private_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _invalid("the private key is no PEM without a password") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if not isinstance(private, rsa.RSAPrivateKey) or private.public_key().public_bytes(
        *form
    ) != public.public_bytes(*form):
        raise _invalid("a key of ours is an RSA key, and the certificate is of that key")


def retire_sp_key(work: Work, change: RetireSPKey) -> None:
    """Destroy a key that signs no more. One that is gone is gone."""
    connection = find_connection(work, change.connection_id)
    key = next((one for one in connection.keys if one.key_id == change.key_id), None)
    if key is None:
        return
    if key.state == "active":
        raise Refusal(
            RefusalCode.IN_USE, f"key '{change.key_id}' signs and opens; make another one active first"
        )
    work.writer.sso.delete_key(connection.connection_id, change.key_id)
    _record(
        work,
        "certificate.retired",
        connection,
        sha256(key.certificate).hexdigest(),
        FieldChange("state", key.state, None),
        owner="sp",
    )
    step_version(work, connection)


def said(moment: datetime) -> str:
    """A moment as events show it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _record(
    work: Work,
    action: str,
    connection: StoredConnection,
    fingerprint: str,
    *changes: FieldChange,
    owner: str,
    parent: EventId | None = None,
) -> None:
    whose = (FieldChange("sha256", None, fingerprint), FieldChange("owner", None, owner))
    work.ledger.record(
        action, (connection_target(connection.connection_id),), (*whose, *changes), parent=parent
    )


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
