"""The messages that the figures of single sign-on are taken with, made by the forge of the tests."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from saml.login import Expectations, Trust
from tests.saml_forge import encryption, messages, signing
from tests.saml_forge.cases import CLASSES, attacks_of
from tests.saml_forge.keys import ATTACKER, IDP, IDP_NEXT, OTHER_IDP, SP

GROUPS = tuple(f"CN=group {number:03d},OU=Groups,DC=example,DC=org" for number in range(150))
_FILLER = {f"urn:oid:1.3.6.1.4.1.5923.1.1.1.{number}": (f"value {number}",) for number in range(24)}


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    xml: str

    @property
    def field(self) -> str:
        return base64.b64encode(self.xml.encode()).decode()


def trust() -> Trust:
    return Trust((IDP.certificate,), (SP.private_pem,))


def trust_of_three() -> Trust:
    """Each certificate is tried when a signature fits none: the middle of a rollover, and one more."""
    return Trust((IDP_NEXT.certificate, OTHER_IDP.certificate, ATTACKER.certificate), (SP.private_pem,))


def expectations() -> Expectations:
    return Expectations(
        idp_entity_id=messages.IDP_ENTITY,
        sp_entity_id=messages.SP_ENTITY,
        acs_url=messages.ACS,
        request_id=messages.REQUEST,
        requested_at=messages.REQUESTED_AT,
        now=messages.NOW,
    )


def _response(attributes: dict[str, tuple[str, ...]]) -> str:
    statements = messages.authn() + messages.stated({**messages.HONEST, **attributes})
    return messages.response(messages.assertion(statements=statements))


def assertion_signed() -> Message:
    """About 6 KB."""
    return Message(
        "assertion_signed", signing.sign(_response(dict(list(_FILLER.items())[:8])), messages.ASSERTION)
    )


def both_signed() -> Message:
    """About 8 KB."""
    inner = signing.sign(_response(dict(list(_FILLER.items())[:7])), messages.ASSERTION)
    return Message("both_signed", signing.sign(inner, messages.RESPONSE))


def many_groups() -> Message:
    """About 30 KB."""
    typed = (
        '<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">'
    )
    text = _response({"groups": GROUPS}).replace("<saml:AttributeValue>", typed)
    return Message("150_groups", signing.sign(text, messages.ASSERTION))


def encrypted() -> Message:
    """About 9 KB, signed inside and outside."""
    inner = signing.sign(_response(dict(list(_FILLER.items())[:1])), messages.ASSERTION)
    return Message(
        "encrypted", signing.sign(encryption.encrypt(inner, cipher=encryption.AES256_CBC), messages.RESPONSE)
    )


def shipped(message: Message) -> Callable[[], None]:
    """python3-saml as it comes, settings and all for each login, as its documentation has it."""
    settings = {
        "strict": True,
        "sp": {
            "entityId": messages.SP_ENTITY,
            "assertionConsumerService": {"url": messages.ACS},
            "privateKey": SP.private_pem.decode(),
            "x509cert": SP.certificate_text,
        },
        "idp": {
            "entityId": messages.IDP_ENTITY,
            "singleSignOnService": {"url": "https://idp.example.org/sso"},
            "x509cert": IDP.certificate_text,
        },
        "security": {"wantAssertionsEncrypted": True, "allowRepeatAttributeName": True},
    }
    request = {
        "https": "on",
        "http_host": "usher.example.com",
        "script_name": messages.ACS.removeprefix(messages.BASE),
        "post_data": {"SAMLResponse": message.field},
    }
    # It reads the machine's clock, and the message is of another day.
    OneLogin_Saml2_Utils.now = staticmethod(lambda: int(messages.NOW.timestamp()))

    def process() -> None:
        auth = OneLogin_Saml2_Auth(request, old_settings=settings)
        auth.process_response(messages.REQUEST)
        assert auth.is_authenticated(), auth.get_last_error_reason()

    return process


def hostile() -> Iterator[str]:
    """Form fields. First every attack that the tests know, then what is as dear as the gate lets anything be."""
    for name in CLASSES:
        yield from (attack.form_value for attack in attacks_of(name) if attack.at == "pipeline")
    for filler, prefixes in _fillers():
        text = messages.response(extensions=filler)
        signed = signing.sign(text, messages.RESPONSE, prefixes=prefixes)
        yield base64.b64encode(signed.encode()).decode()
        # In a ciphertext, which anybody can make, a signature costs its work whoever has made it.
        inside = messages.response(messages.assertion(more=f"<saml:Advice>{filler}</saml:Advice>"))
        forged = signing.sign(inside, messages.ASSERTION, key=SP, prefixes=prefixes)
        yield base64.b64encode(encryption.encrypt(forged).encode()).decode()


_ROOM = 370_000
_ELEMENTS = 3_900


def _fillers() -> Iterator[tuple[str, str]]:
    """What costs the most to canonicalise: many namespaces in scope, searched for at many elements."""
    spaces = [f"n{number}" for number in range(40)]
    levels = [spaces[start : start + 4] for start in range(0, 40, 4)]
    heads = ["".join(f' xmlns:{space}="urn:{space}"' for space in level) for level in levels]
    used = ["".join(f' {space}:a=""' for space in level) for level in levels]
    prefixes = " ".join(spaces[::5])
    attributes = "".join(f' {space}:a=""' for space in spaces[:16])
    for leaf in (
        "<y/>",
        '<y xmlns=""/>',
        '<y xmlns:q="urn:q" q:b=""/>',
        "<n0:y/>",
        f"<n0:y{attributes}/>",
        "<y>z</y>",
    ):
        bulk = leaf * min(_ELEMENTS, _ROOM // len(leaf), 7_500 // max(1, leaf.count('=""')))
        for opened in (heads, [head + use for head, use in zip(heads, used, strict=True)]):
            nested = "".join(f"<x{head}>" for head in opened) + bulk + "</x>" * len(opened)
            yield nested, ""
            yield nested, prefixes
