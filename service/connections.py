"""Connections to identity providers as an administrator handles them: added, refreshed, their keys changed.

Decides nothing: what may be stored is for `provisioning` to say. Here documents are read, keys are made, and both are
put into words that `apply_changes` understands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from directory.changes import Change
from directory.ids import ConnectionId
from directory.sso_changes import NoteMetadataFailure, PutConnection, PutSPKey, RetireSPKey, TakeMetadata
from provisioning.logins import StoredConnection
from saml.errors import MetadataError
from saml.metadata import MAX_BYTES, IdPMetadata, parse_metadata
from service.administration import Administration
from service.errors import InputError, NotFoundError, RefusedError
from web.outgoing import Answer, Outgoing, OutgoingError

_RSA_BITS = 3072
_KEY_LIFE = timedelta(days=5 * 365)
_BACKDATED = timedelta(days=1)
_NOT_MODIFIED = 304
_OK = 200

Setting = str | int | bool


@dataclass(frozen=True, slots=True)
class Document:
    """Metadata as it was read. `url` is empty for a file or a paste."""

    octets: bytes
    url: str = ""
    etag: str = ""


def fetch_document(outgoing: Outgoing, url: str, *, etag: str = "") -> Document | None:
    """Read metadata from an address; None when it is what `etag` names. Raises OutgoingError, MetadataError."""
    headers = {"Accept": "application/samlmetadata+xml, application/xml, text/xml"}
    if etag:
        headers["If-None-Match"] = etag
    answer: Answer = outgoing.get(url, max_bytes=MAX_BYTES, headers=headers)
    if answer.status == _NOT_MODIFIED and etag:
        return None
    if answer.status != _OK:
        raise MetadataError(
            f"the address of the metadata answered {answer.status} instead of the document; "
            "open it in a browser and give the address that it ends up at"
        )
    return Document(answer.body, url, answer.headers.get("etag", "")[:400])


def add_connection(
    administration: Administration,
    name: str,
    *,
    document: Document | None,
    entity_id: str,
    settings: Mapping[str, Setting],
) -> StoredConnection:
    """Add a connection with a key of ours, and with the provider's metadata where there is some already.

    A connection without it is a draft: our metadata can be given to the provider first. `entity_id` chooses among
    several providers of one document. Raises RefusedError, MetadataError; nothing is stored then.
    """
    wiring = administration.wiring
    now = wiring.clock()
    connection_id = ConnectionId(wiring.mint.id())
    chosen = dict(settings)
    read = None if document is None else _read(document, now=now, entity_id=entity_id, settings=chosen)
    if document is not None and document.url:
        chosen["metadata_url"] = document.url
    if read is not None and read.wants_signed_requests:
        chosen["sign_requests"] = True
    administration.apply(
        [
            PutConnection(connection_id, name, chosen),
            make_sp_key(administration, connection_id, state="active"),
            *([] if read is None or document is None else [_taking(connection_id, document, read)]),
        ]
    )
    return _stored(administration, connection_id)


def take_document(
    administration: Administration, connection: StoredConnection, document: Document, *, entity_id: str = ""
) -> StoredConnection:
    """Put the document in the place of the connection's metadata. Raises RefusedError, MetadataError."""
    now = administration.wiring.clock()
    read = _read(
        document,
        now=now,
        entity_id=entity_id,
        trusted=connection.read.idp_entity_id,
        settings=connection.settings,
    )
    changes: list[Change] = [_taking(connection.connection_id, document, read)]
    if connection.metadata is None and read.wants_signed_requests:
        # The provider's wish is followed once; later it is the administrator who decides.
        signing = {**connection.settings, "sign_requests": True}
        changes.insert(0, PutConnection(connection.connection_id, connection.name, signing))
    administration.apply(changes)
    return _stored(administration, connection.connection_id)


def refresh_connection(
    administration: Administration, connection: StoredConnection, outgoing: Outgoing
) -> str:
    """Read the metadata anew from its address; an empty text, or in words why the last good copy stays in force.

    The failure is stored, and an event when it is the first one: so it is not tried again at once, whoever refuses
    the document. Raises RefusedError when the connection has gone.
    """
    settings, copy = connection.read, connection.metadata
    try:
        document = fetch_document(outgoing, settings.metadata_url, etag=copy.etag if copy else "")
        if document is None:
            assert copy is not None  # noqa: S101 - only a question with an ETag has no answer
            document = Document(copy.document.encode(), settings.metadata_url, copy.etag)
        # The provider is found again by the entity id that the connection trusts, never by another.
        take_document(administration, connection, document)
    except (OutgoingError, MetadataError, RefusedError) as error:
        administration.apply([NoteMetadataFailure(connection.connection_id, error.code)])
        return str(error)
    return ""


def _read(
    document: Document,
    *,
    now: datetime,
    entity_id: str,
    settings: Mapping[str, Setting],
    trusted: str = "",
) -> IdPMetadata:
    """`entity_id` is what the administrator asks for; without it the one that is `trusted` already is looked for."""
    signer = str(settings.get("metadata_signer", ""))
    try:
        return parse_metadata(document.octets, now=now, entity_id=entity_id or trusted, signer=signer)
    except MetadataError:
        if entity_id or not trusted:
            raise
        # Where it is of one other provider, the write path is to say so; else this fails as before.
        return parse_metadata(document.octets, now=now, signer=signer)


def _taking(connection_id: ConnectionId, document: Document, read: IdPMetadata) -> TakeMetadata:
    return TakeMetadata(
        connection_id=connection_id,
        document=document.octets.decode("utf-8"),
        settings=read.settings,
        certificates=read.certificates,
        etag=document.etag,
        valid_until=read.valid_until,
    )


def make_sp_key(administration: Administration, connection_id: ConnectionId, *, state: str) -> PutSPKey:
    """A fresh RSA key of ours with a certificate that nobody but the identity provider needs to know."""
    wiring = administration.wiring
    now = wiring.clock().replace(microsecond=0)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Usher {connection_id}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _KEY_LIFE)
        .sign(key, hashes.SHA256())
    )
    return PutSPKey(
        connection_id=connection_id,
        key_id=wiring.mint.id(),
        certificate=certificate.public_bytes(serialization.Encoding.DER),
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        state=state,
    )


def rotate_sp_key(
    administration: Administration, connection: StoredConnection, step: str
) -> StoredConnection:
    """One step of a change of our key, so that no login fails in between.

    `publish`: a next key stands in our metadata beside the present one. `use`: the next key signs; the one before
    goes on opening what was encrypted for it. `retire`: the one before is destroyed. Raises RefusedError, InputError.
    """
    by_state = {key.state: key for key in connection.keys}
    if step == "publish":
        administration.apply([make_sp_key(administration, connection.connection_id, state="next")])
    elif step == "use":
        key = by_state.get("next")
        if key is None:
            raise InputError(
                ["there is no next key; publish one first, and let the provider read our metadata"]
            )
        administration.apply([PutSPKey(connection.connection_id, key.key_id, key.certificate)])
    else:
        old = [key for key in connection.keys if key.state != "active"]
        if not old:
            raise InputError(["there is no key to retire: only the active one is left"])
        administration.apply([RetireSPKey(connection.connection_id, key.key_id) for key in old])
    return _stored(administration, connection.connection_id)


def _stored(administration: Administration, connection_id: ConnectionId) -> StoredConnection:
    with administration.read() as reader:
        found = reader.sso.connection(connection_id)
    if found is None:
        raise NotFoundError(f"the connection '{connection_id}' has been removed meanwhile")
    return found
