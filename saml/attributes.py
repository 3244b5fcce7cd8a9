"""From attributes to a person: which Name holds what, by identity provider or as an administrator says."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from provisioning.logins import ConnectionSettings, Person
from saml import names
from saml.errors import Denial, LoginDenied
from saml.login import Login
from saml.policy import NAME_ID_KEY

_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_MICROSOFT = "http://schemas.microsoft.com/ws/2008/06/identity/claims"
# Microsoft Learn, "Configure group claims": above 150 groups a link stands in the place of their list.
_OVERAGE = "http://schemas.microsoft.com/claims/groups.link"


@dataclass(frozen=True, slots=True)
class AttributeMap:
    """Names of attributes, matched exactly; FriendlyName is for display. Of several, the first there is counts."""

    mail: tuple[str, ...]
    given_name: tuple[str, ...]
    family_name: tuple[str, ...]
    groups: tuple[str, ...]
    external_id: tuple[str, ...] = ()
    groups_separator: str = ""


_PLAIN = AttributeMap(("email",), ("firstName",), ("lastName",), ("groups",))
_OID_MAIL, _OID_GIVEN, _OID_FAMILY = (
    "urn:oid:0.9.2342.19200300.100.1.3",
    "urn:oid:2.5.4.42",
    "urn:oid:2.5.4.4",
)

PRESETS: Mapping[str, AttributeMap] = MappingProxyType(
    {
        "generic": AttributeMap(
            ("email", "mail", _OID_MAIL, f"{_CLAIMS}/emailaddress"),
            ("firstName", "givenName", "given_name", _OID_GIVEN, f"{_CLAIMS}/givenname"),
            ("lastName", "sn", "surname", "family_name", _OID_FAMILY, f"{_CLAIMS}/surname"),
            ("groups", "memberOf", "isMemberOf"),
        ),
        "entra": AttributeMap(
            (f"{_CLAIMS}/emailaddress",),
            (f"{_CLAIMS}/givenname",),
            (f"{_CLAIMS}/surname",),
            (f"{_MICROSOFT}/groups",),
        ),
        "adfs": AttributeMap(
            (f"{_CLAIMS}/emailaddress", f"{_CLAIMS}/upn"),
            (f"{_CLAIMS}/givenname",),
            (f"{_CLAIMS}/surname",),
            (f"{_MICROSOFT}/role",),
        ),
        "okta": _PLAIN,
        "google": _PLAIN,
        "keycloak": AttributeMap(("email",), ("firstName",), ("lastName",), ("Role",)),
        "shibboleth": AttributeMap(
            (_OID_MAIL,), (_OID_GIVEN,), (_OID_FAMILY,), ("urn:oid:1.3.6.1.4.1.5923.1.5.1.1",)
        ),
        "onelogin": AttributeMap(
            ("User.email",), ("User.FirstName",), ("User.LastName",), ("memberOf",), groups_separator=";"
        ),
        "jumpcloud": AttributeMap(("email",), ("firstname",), ("lastname",), ("memberOf",)),
        "ping": AttributeMap(("email",), ("given_name",), ("family_name",), ("memberOf",)),
    }
)
"""By what `ConnectionSettings.preset` may be."""


def attribute_map(settings: ConnectionSettings) -> AttributeMap:
    """The preset, with what the administrator says in its place."""
    preset = PRESETS[settings.preset]

    def chosen(own: str, usual: tuple[str, ...]) -> tuple[str, ...]:
        return (own,) if own else usual

    return AttributeMap(
        mail=chosen(settings.attribute_mail, preset.mail),
        given_name=chosen(settings.attribute_given_name, preset.given_name),
        family_name=chosen(settings.attribute_family_name, preset.family_name),
        groups=chosen(settings.attribute_groups, preset.groups),
        external_id=chosen(settings.attribute_external_id, preset.external_id),
        groups_separator=settings.groups_separator or preset.groups_separator,
    )


def read_person(login: Login, settings: ConnectionSettings) -> Person:
    """Who the assertion says has signed in.

    Without an attribute for it, the e-mail is the NameID where that says of itself that it is one. Groups are
    withheld when Entra ID gives a link instead: then nothing is known of them, and nothing may follow.

    Raises: LoginDenied, when what identifies has several values: neither the first nor the last wins.
    """
    chosen = attribute_map(settings)
    name_id = login.name_id.value if login.name_id is not None else ""
    key = name_id if settings.identity_key == NAME_ID_KEY else _only(login, (settings.identity_key,))
    mail = _only(login, chosen.mail)
    if not mail and login.name_id is not None and login.name_id.format == names.FORMAT_MAIL:
        mail = name_id
    return Person(
        key=key,
        mail=mail,
        given_name=_first(login, chosen.given_name),
        family_name=_first(login, chosen.family_name),
        external_id=_only(login, chosen.external_id),
        groups=_groups(login, chosen),
        groups_withheld=_OVERAGE in login.attributes,
    )


def _values(login: Login, candidates: tuple[str, ...]) -> tuple[str, ...]:
    return next((login.attributes[name] for name in candidates if login.attributes.get(name)), ())


def _only(login: Login, candidates: tuple[str, ...]) -> str:
    values = _values(login, candidates)
    if len(values) > 1:
        name = next(name for name in candidates if login.attributes.get(name))
        raise LoginDenied(
            Denial.IDENTITY_AMBIGUOUS,
            check="identity",
            words=f"attribute {name} has {len(values)} values, expected one: it tells who the person is",
        )
    return values[0] if values else ""


def _first(login: Login, candidates: tuple[str, ...]) -> str:
    return next(filter(None, _values(login, candidates)), "")


def _groups(login: Login, chosen: AttributeMap) -> tuple[str, ...]:
    values = _values(login, chosen.groups)
    if chosen.groups_separator:
        values = tuple(part.strip() for value in values for part in value.split(chosen.groups_separator))
    return tuple(filter(None, values))
