"""What each identity provider says of a person, with the attribute names of its documents, and who that is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from provisioning.logins import Person
from tests.saml_forge.messages import (
    ASSERTION,
    MAIL_FORMAT,
    PERSISTENT,
    SP_ENTITY,
    SUBJECT,
    assertion,
    attribute,
    attributes_of,
    authn,
    confirmation,
    name_id,
    response,
    statement,
    subject,
)
from tests.saml_forge.signing import sign

CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
MICROSOFT = "http://schemas.microsoft.com/ws/2008/06/identity/claims/"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"


@dataclass(frozen=True, slots=True)
class Preset:
    """A response of one provider. `settings` are those of the connection; `person` who it is about."""

    name: str
    origin: str
    content: bytes = field(repr=False)
    settings: Mapping[str, Any]
    person: Person

    @property
    def file(self) -> str:
        return f"{self.name}.xml"


def make() -> Iterator[Preset]:
    """One for each preset of docs/guides, all about the same person."""
    object_ids = ("5f0c1a52-0000-4000-8000-000000000001", "5f0c1a52-0000-4000-8000-000000000002")
    yield preset(
        "entra",
        "Microsoft Learn, SAML token claims reference; groups are object ids",
        {
            f"{MICROSOFT}objectidentifier".replace("ws/2008/06/", ""): (
                "7d0a3f4e-0000-4000-8000-000000000003",
            ),
            f"{CLAIMS}emailaddress": (SUBJECT,),
            f"{CLAIMS}givenname": ("Anna",),
            f"{CLAIMS}surname": ("Berg",),
            f"{CLAIMS}name": (SUBJECT,),
            f"{MICROSOFT}groups": object_ids,
        },
        groups=object_ids,
    )
    yield preset(
        "adfs",
        "Microsoft Learn, AD FS claims; roles as groups",
        {
            f"{CLAIMS}emailaddress": (SUBJECT,),
            f"{CLAIMS}upn": ("anna@corp.example.org",),
            f"{CLAIMS}givenname": ("Anna",),
            f"{CLAIMS}surname": ("Berg",),
            f"{MICROSOFT}role": ("Staff", "Editors"),
        },
        groups=("Staff", "Editors"),
    )
    for name in ("okta", "google"):
        yield preset(
            name,
            "attribute statements as its set-up pages name them",
            {
                "email": (SUBJECT,),
                "firstName": ("Anna",),
                "lastName": ("Berg",),
                "groups": ("Staff", "Editors"),
            },
            groups=("Staff", "Editors"),
        )
    repeated = [
        attribute("email", SUBJECT),
        attribute("Role", "staff"),
        attribute("firstName", "Anna"),
        attribute("Role", "editors"),
        attribute("lastName", "Berg"),
    ]
    yield made(
        "keycloak",
        "the role list mapper repeats the attribute, one value each",
        repeated,
        ("staff", "editors"),
    )
    oid = "urn:oid:"
    targeted = (
        f"<saml:NameID{attributes_of(Format=PERSISTENT, NameQualifier='https://idp.example.org/metadata')}"
        f"{attributes_of(SPNameQualifier=SP_ENTITY)}>8c1f0e2a</saml:NameID>"
    )
    research = [
        attribute(f"{oid}0.9.2342.19200300.100.1.3", SUBJECT, FriendlyName="mail"),
        attribute(f"{oid}2.5.4.42", "Anna", FriendlyName="givenName"),
        attribute(f"{oid}2.5.4.4", "Berg", FriendlyName="sn"),
        attribute(f"{oid}1.3.6.1.4.1.5923.1.5.1.1", "staff", "editors", FriendlyName="isMemberOf"),
        attribute(f"{oid}1.3.6.1.4.1.5923.1.1.1.10", targeted, FriendlyName="eduPersonTargetedID"),
    ]
    yield made(
        "shibboleth",
        "eduPerson by OID; the targeted id is a whole NameID",
        [each.replace("attrname-format:basic", "attrname-format:uri") for each in research],
        ("staff", "editors"),
    )
    yield preset(
        "onelogin",
        "memberOf is one value, split at ;",
        {
            "User.email": (SUBJECT,),
            "User.FirstName": ("Anna",),
            "User.LastName": ("Berg",),
            "memberOf": ("Staff;Editors",),
        },
        groups=("Staff", "Editors"),
    )
    yield preset(
        "jumpcloud",
        "attribute names as its connector has them",
        {
            "email": (SUBJECT,),
            "firstname": ("Anna",),
            "lastname": ("Berg",),
            "memberOf": ("Staff", "Editors"),
        },
        groups=("Staff", "Editors"),
    )
    names = ("CN=Staff,OU=Groups,DC=example,DC=org", "CN=Editors,OU=Groups,DC=example,DC=org")
    yield preset(
        "ping",
        "memberOf holds DNs",
        {"email": (SUBJECT,), "given_name": ("Anna",), "family_name": ("Berg",), "memberOf": names},
        groups=names,
    )


def preset(name: str, origin: str, values: Mapping[str, Sequence[str]], *, groups: tuple[str, ...]) -> Preset:
    return made(
        name, origin, [attribute(each, *map(escape, texts)) for each, texts in values.items()], groups
    )


def made(name: str, origin: str, attributes: Sequence[str], groups: tuple[str, ...]) -> Preset:
    statements = authn() + statement(*attributes)
    form = UNSPECIFIED if name in {"okta", "onelogin"} else MAIL_FORMAT
    about = subject(name_id(form=form), confirmation())
    text = sign(response(assertion(about=about, statements=statements)), ASSERTION)
    person = Person(key=SUBJECT, mail=SUBJECT, given_name="Anna", family_name="Berg", groups=groups)
    return Preset(name, origin, text.encode(), {"preset": name}, person)
