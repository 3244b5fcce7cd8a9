"""What a response is held against, and what it says once it has been proven. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Trust:
    """What a connection's messages are verified with. Made once for each version of a connection and kept.

    `certificates` are DER; `private_keys` PEM, by which an encrypted assertion is opened, in order. `memo` is the
    verifier's own: the keys as it has prepared them, so that they are read once for each version of a connection.
    """

    certificates: tuple[bytes, ...]
    private_keys: tuple[bytes, ...] = field(repr=False, default=())
    require_signed_assertion: bool = False
    require_encrypted_assertion: bool = False
    memo: dict[str, object] = field(default_factory=dict, init=False, repr=False, compare=False, hash=False)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What this response must say to be for us, here and now.

    `request_id` None: IdP-initiated, which must name no request at all. `requested_at` is when our request was made;
    with `force_authn` the person must have been asked since. `now` is aware UTC.
    """

    idp_entity_id: str
    sp_entity_id: str
    acs_url: str
    request_id: str | None
    requested_at: datetime | None
    now: datetime
    clock_skew_seconds: int = 120
    force_authn: bool = False
    identity_key: str = "name_id"


@dataclass(frozen=True, slots=True)
class NameID:
    """The NameID element: its text without surrounding whitespace, and its attributes. Empty where absent."""

    value: str
    format: str = ""
    name_qualifier: str = ""
    sp_name_qualifier: str = ""
    sp_provided_id: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """What a proven assertion says. `attributes`: Name to values, in document order, repeats merged.

    `used_until` is how long the assertion could be presented again, skew included: so long its id is remembered.
    """

    assertion_id: str
    issuer: str
    name_id: NameID | None
    session_index: str
    attributes: Mapping[str, tuple[str, ...]]
    authn_instant: datetime
    session_ends_at: datetime | None
    used_until: datetime
    in_response_to: str


class Result(StrEnum):
    PASS = "pass"  # noqa: S105 - a word, no password
    FAIL = "fail"
    NOT_REACHED = "not_reached"


@dataclass(frozen=True, slots=True)
class Check:
    """One named check of the test login. `words` say what is and what should be, for the administrator."""

    name: str
    result: Result
    words: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was checked, in order, and what came out. `xml` is the message as received, decoded."""

    checks: tuple[Check, ...]
    login: Login | None
    xml: str = field(repr=False, default="")
    decrypted_xml: str = field(repr=False, default="")
