"""What each identity provider says of a person, with the attribute names of its documents, and who that is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
OBJECT_ID = "http://schemas.microsoft.com/identity/claims/objectidentifier"
OVERAGE = "http://schemas.microsoft.com/claims/groups.link"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"


@dataclass(frozen=True, slots=True)
class Preset:
    """A response of one provider. `settings` are those of the connection; `person` who it is about."""

    name: str
    content: bytes = field(repr=False)
    settings: Mapping[str, Any]
    person: Person

    @property
    def file(self) -> str:
        return f"{self.name}.xml"


def make() -> Iterator[Preset]:
    """One for each preset of docs/guides, all about the same person."""
    yield from of_entra()
    yield from of_adfs()
    yield from of_others()


def of_entra() -> Iterator[Preset]:
    object_ids = ("5f0c1a52-0000-4000-8000-000000000001", "5f0c1a52-0000-4000-8000-000000000002")
    own_id = "7d0a3f4e-0000-4000-8000-000000000003"
    told = {
        OBJECT_ID: (own_id,),
        f"{CLAIMS}emailaddress": (SUBJECT,),
        f"{CLAIMS}givenname": ("Anna",),
        f"{CLAIMS}surname": ("Berg",),
        f"{CLAIMS}name": (SUBJECT,),
    }
    yield preset("entra", {**told, f"{MICROSOFT}groups": object_ids}, groups=object_ids)
    link = f"https://graph.windows.net/tenant/users/{own_id}/getMemberObjects"
    many = preset("entra", {**told, OVERAGE: (link,)}, groups=())
    yield replace(many, name="entra-groups-overage", person=replace(many.person, groups_withheld=True))
    by_id = preset("entra", told, groups=())
    yield replace(
        by_id,
        name="entra-object-id-as-key",
        settings={"preset": "entra", "identity_key": OBJECT_ID},
        person=replace(by_id.person, key=own_id),
    )


def of_adfs() -> Iterator[Preset]:
    names = {f"{CLAIMS}givenname": ("Anna",), f"{CLAIMS}surname": ("Berg",)}
    roles = {f"{MICROSOFT}role": ("Staff", "Editors")}
    upn = {f"{CLAIMS}upn": ("anna@corp.example.org",)}
    mail = {f"{CLAIMS}emailaddress": (SUBJECT,)}
    yield preset("adfs", {**upn, **mail, **names, **roles}, groups=("Staff", "Editors"))
    bare = preset("adfs", {**upn, **names}, groups=())
    yield replace(bare, name="adfs-upn-only", person=replace(bare.person, mail="anna@corp.example.org"))


def of_others() -> Iterator[Preset]:
    for name in ("okta", "google"):
        yield preset(
            name,
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
        [each.replace("attrname-format:basic", "attrname-format:uri") for each in research],
        ("staff", "editors"),
    )
    yield preset(
        "onelogin",
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
        {"email": (SUBJECT,), "given_name": ("Anna",), "family_name": ("Berg",), "memberOf": names},
        groups=names,
    )


def preset(name: str, values: Mapping[str, Sequence[str]], *, groups: tuple[str, ...]) -> Preset:
    return made(name, [attribute(each, *map(escape, texts)) for each, texts in values.items()], groups)


def made(name: str, attributes: Sequence[str], groups: tuple[str, ...]) -> Preset:
    statements = authn() + statement(*attributes)
    form = UNSPECIFIED if name in {"okta", "onelogin"} else MAIL_FORMAT
    about = subject(name_id(form=form), confirmation())
    text = sign(response(assertion(about=about, statements=statements)), ASSERTION)
    person = Person(key=SUBJECT, mail=SUBJECT, given_name="Anna", family_name="Berg", groups=groups)
    return Preset(name, text.encode(), {"preset": name}, person)
