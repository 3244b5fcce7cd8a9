"""What the settings of a connection may be. Everything that is wrong with them is told together."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType

from directory.facts import find_fault, name_key
from directory.ids import RoleId
from mappings.catalogue import Catalogue, Role
from mappings.rules import check_default_role
from provisioning.logins import ConnectionSettings

PRESETS = (
    "generic",
    "entra",
    "adfs",
    "okta",
    "google",
    "keycloak",
    "shibboleth",
    "onelogin",
    "jumpcloud",
    "ping",
)
"""The attribute maps that a connection may begin with, by the identity provider that sends them."""

BINDINGS = ("redirect", "post")
MOST_TARGETS = 20

_LONGEST_TEXT = 1024
_LONGEST_ADDRESS = 2000
_BOUNDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"clock_skew_seconds": (0, 300), "overlap_hours": (0, 720), "session_minutes": (0, 43_200)}
)
_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"sso_binding": BINDINGS, "slo_binding": BINDINGS, "preset": PRESETS}
)
_ADDRESSES = ("sso_url", "slo_url", "metadata_url")
_TEXTS = (
    "idp_entity_id",
    "identity_key",
    "attribute_mail",
    "attribute_given_name",
    "attribute_family_name",
    "attribute_groups",
    "attribute_external_id",
    "requested_authn_context",
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Host names of one label are good ones. No user, no fragment: neither belongs into an address that we keep.
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?"
    r"(?:[/?][!$-;=?-\[\]_a-z|~]*)?",
    re.ASCII,
)
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]", re.ASCII)
_LONGEST_SEPARATOR = 3


def find_faults(
    settings: Mapping[str, str | int | bool], *, catalogue: Catalogue, roles: Mapping[RoleId, Role]
) -> list[str]:
    """All that is wrong with the settings of a connection, each as a part of a sentence; empty when they are good."""
    faults = list(_wrong_types(settings))
    if faults:
        return faults
    given = {name: value for name, value in settings.items() if value != ""}
    for name, value in given.items():
        faults.extend(_CHECKS.get(name, _any)(name, value))
    role = RoleId(str(given.get("default_role", "")))
    if role:
        faults.extend(_role_faults(role, catalogue, roles))
    return faults


def _wrong_types(settings: Mapping[str, str | int | bool]) -> Iterator[str]:
    known = {field.name: type(field.default) for field in fields(ConnectionSettings)}
    words = {str: "a text", int: "a whole number", bool: "true or false"}
    for name, value in settings.items():
        if name not in known:
            yield f"'{name}' is no setting of a connection; settings are {', '.join(known)}"
        elif type(value) is not known[name]:
            yield f"setting '{name}' is {words[known[name]]}, not '{value}'"


def is_address(text: str) -> bool:
    """Whether the text is an address that may be spoken to: https, or anything on this machine."""
    found = _ADDRESS.fullmatch(text)
    if found is None or len(text) > _LONGEST_ADDRESS:
        return False
    return found["scheme"] == "https" or _LOOPBACK.fullmatch(found["host"]) is not None


def _address(name: str, value: object) -> Iterator[str]:
    if not is_address(str(value)):
        yield f"setting '{name}' is an https address without a user and a fragment (http on this machine only)"


def _choice(name: str, value: object) -> Iterator[str]:
    if value not in _CHOICES[name]:
        yield f"setting '{name}' is one of {', '.join(_CHOICES[name])}, not '{value}'"


def _number(name: str, value: object) -> Iterator[str]:
    lowest, highest = _BOUNDS[name]
    if not lowest <= int(str(value)) <= highest:
        yield f"setting '{name}' is a whole number from {lowest} to {highest}, not '{value}'"


def _text(name: str, value: object) -> Iterator[str]:
    text = str(value)
    if len(text) > _LONGEST_TEXT or find_fault(text, is_name=False) or not text.isprintable():
        yield f"setting '{name}' is a text of at most {_LONGEST_TEXT} printable characters"
    elif text != text.strip():
        yield f"setting '{name}' begins or ends with whitespace"


def _separator(name: str, value: object) -> Iterator[str]:
    text = str(value)
    if len(text) > _LONGEST_SEPARATOR or not text.isprintable():
        yield f"setting '{name}' is at most {_LONGEST_SEPARATOR} printable characters"


def _signer(name: str, value: object) -> Iterator[str]:
    if not _SHA256.fullmatch(str(value)):
        yield f"setting '{name}' is the SHA-256 of a certificate, 64 small hexadecimal figures"


def _targets(name: str, value: object) -> Iterator[str]:
    targets = str(value).splitlines()
    if len(targets) > MOST_TARGETS:
        yield f"setting '{name}' lists {len(targets)} addresses; at most {MOST_TARGETS} are kept"
    elif not all(map(is_address, targets)):
        yield f"setting '{name}' lists https addresses, a line each"


def _any(name: str, value: object) -> Iterator[str]:
    """Nothing is wrong with it: the type says all, or another check does."""
    del name, value
    yield from ()


def _role_faults(role: RoleId, catalogue: Catalogue, roles: Mapping[RoleId, Role]) -> Iterator[str]:
    faults = check_default_role(role, catalogue=catalogue, roles=roles)
    yield from map(str, faults)
    ranks = {held.rank for held in roles.values()}
    if not faults and len(ranks) > 1 and roles[role].rank == max(ranks):
        yield f"{role} is the highest role; nobody gets it by signing in"


_Check = Callable[[str, object], Iterator[str]]
_CHECKS: Mapping[str, _Check] = MappingProxyType(
    {
        **dict.fromkeys(_ADDRESSES, _address),
        **dict.fromkeys(_CHOICES, _choice),
        **dict.fromkeys(_BOUNDS, _number),
        **dict.fromkeys(_TEXTS, _text),
        "groups_separator": _separator,
        "metadata_signer": _signer,
        "initiated_targets": _targets,
    }
)


def find_name_fault(name: str, others: list[str]) -> str:
    """Why a connection cannot have the name; empty when it can."""
    text = name.strip()
    if not text or len(text) > 200 or not text.isprintable():
        return "a connection needs a name of at most 200 printable characters"
    if name_key(text) in map(name_key, others):
        return f"a connection named '{text}' exists; choose another name"
    return ""
