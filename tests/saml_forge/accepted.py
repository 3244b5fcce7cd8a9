"""What a fixture is that must log in: a file, the settings it is for, and exactly what comes out."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from saml.login import Expectations, Login, NameID, Trust
from tests.saml_forge.keys import IDP, SP
from tests.saml_forge.messages import (
    ACS,
    ASSERTION,
    HONEST,
    IDP_ENTITY,
    MAIL_FORMAT,
    NOW,
    REQUEST,
    REQUESTED_AT,
    SESSION_INDEX,
    SP_ENTITY,
    SUBJECT,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """`given` are settings that differ from the usual, `login` fields of the Login that do."""

    file: str
    content: bytes = field(repr=False)
    given: Mapping[str, object]
    login: Mapping[str, Any]


def accepted(name: str, xml: str, *, login: Mapping[str, Any] | None = None, **given: object) -> Accepted:
    return Accepted(f"{name}.xml", xml.encode(), given, login or {})


def accepted_field(name: str, value: str) -> Accepted:
    """To the letter what the form field holds."""
    return Accepted(f"{name}.b64", value.encode(), {}, {})


def form_value(file: str, content: bytes) -> str:
    """The field SAMLResponse as posted, of a file."""
    return content.decode("latin-1") if file.endswith(".b64") else base64.b64encode(content).decode()


def trust(given: Mapping[str, object]) -> Trust:
    """The connection's keys, with what differs."""
    usual: dict[str, Any] = {"certificates": (IDP.certificate,), "private_keys": (SP.private_pem,)}
    named = set(Trust.__dataclass_fields__)
    return Trust(**usual | {name: value for name, value in given.items() if name in named})


def expectations(given: Mapping[str, object]) -> Expectations:
    """The answer to our request, at the moment of the fixtures, with what differs."""
    usual: dict[str, Any] = {
        "idp_entity_id": IDP_ENTITY,
        "sp_entity_id": SP_ENTITY,
        "acs_url": ACS,
        "request_id": REQUEST,
        "requested_at": REQUESTED_AT,
        "now": NOW,
    }
    named = set(Expectations.__dataclass_fields__)
    return Expectations(**usual | {name: value for name, value in given.items() if name in named})


def expected(differs: Mapping[str, Any]) -> Login:
    """What an honest assertion of the fixtures says, with what differs."""
    usual: dict[str, Any] = {
        "assertion_id": ASSERTION,
        "issuer": IDP_ENTITY,
        "name_id": NameID(SUBJECT, MAIL_FORMAT),
        "session_index": SESSION_INDEX,
        "attributes": {name: tuple(values) for name, values in HONEST.items()},
        "authn_instant": NOW - timedelta(seconds=5),
        "session_ends_at": None,
        "used_until": NOW + timedelta(seconds=300 + 120),
        "in_response_to": REQUEST,
    }
    return Login(**usual | dict(differs))
