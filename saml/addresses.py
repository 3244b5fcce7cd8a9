"""Where identity providers meet a connection, and what our metadata says of it."""

from dataclasses import dataclass

from directory.ids import ConnectionId
from provisioning.logins import StoredConnection
from saml.metadata import SPDescription, render_metadata


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where identity providers meet one connection. The entity id is the address of our metadata."""

    entity_id: str
    acs: str
    slo: str
    login: str


def addresses(base_url: str, connection_id: ConnectionId) -> Addresses:
    """`base_url` is without a slash at the end."""
    own = f"{base_url}/saml/{connection_id}"
    return Addresses(f"{own}/metadata", f"{own}/acs", f"{own}/slo", f"{own}/login")


def sp_metadata(connection: StoredConnection, base_url: str) -> bytes:
    """Our metadata for the connection, with every key that is published: the active one first."""
    own, settings = addresses(base_url, connection.connection_id), connection.read
    keys = sorted(connection.keys, key=lambda key: key.state != "active")
    return render_metadata(
        SPDescription(
            entity_id=own.entity_id,
            acs_url=own.acs,
            slo_url=own.slo,
            certificates=tuple(key.certificate for key in keys),
            signs_requests=settings.sign_requests,
            wants_signed_assertions=settings.require_signed_assertion,
        )
    )
