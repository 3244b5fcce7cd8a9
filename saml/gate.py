"""The gate: what a document must be before any key or library reads it. It knows XML, and no trust.

The order matters. What bounds the cost stands first: nothing that a stranger sends is parsed before its size and the
number of its tags are known, and nothing is canonicalised or verified before its whole tree has been walked.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from saml import names
from saml.errors import Denial, LoginDenied

# Of the form field, before base64.
MAX_FIELD = 512 * 1024
_WHITESPACE = b" \t\r\n"
# XML 1.0 section 2.8. Another encoding would let us and a library read different documents.
_DECLARATION = re.compile(
    rb"""\A(?:\xef\xbb\xbf)?<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.0"|'1\.0')"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"[Uu][Tt][Ff]-8"|'[Uu][Tt][Ff]-8'))?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>"""
)
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,255}")
_ID_NAMES = frozenset({"ID", "Id", "id"})
# An element of one of these names in another namespace is there to be taken for the real one.
_GUARDED = {
    name.rpartition("}")[2]: name
    for name in (
        names.RESPONSE,
        names.ASSERTION,
        names.ENCRYPTED_ASSERTION,
        names.SIGNATURE,
        names.SIGNED_INFO,
        names.NAME_ID,
        names.ENCRYPTED_DATA,
        names.ENCRYPTED_KEY,
    )
}
_KEPT = frozenset(
    {
        names.ASSERTION,
        names.ENCRYPTED_ASSERTION,
        names.SIGNATURE,
        names.ENCRYPTED_ID,
        names.ENCRYPTED_ATTRIBUTE,
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on a document: of the whole, and for one element. The defaults are those of a login or a logout.

    `namespaces` is what each element may declare; `more_namespaces` what all of them together may beyond that. So
    there are never many in scope, and each of those costs a search at every element when it is canonicalised. With
    them the most expensive document that comes through is judged in well under 300 ms.
    """

    octets: int = MAX_FIELD * 3 // 4
    elements: int = 4000
    depth: int = 16
    attributes: int = 16
    all_attributes: int = 8000
    namespaces: int = 4
    more_namespaces: int = 32
    prefixes: int = 8


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Document:
    """A tree that has been walked whole. `found` are the elements that decide, wherever they stand."""

    root: etree._Element
    found: Mapping[str, list[etree._Element]]

    def all(self, name: str) -> list[etree._Element]:
        return self.found.get(name, [])


def refuse(reason: Denial, found: str = "", expected: str = "") -> LoginDenied:
    return LoginDenied(reason, found=found, expected=expected)


def decode_field(value: str) -> bytes:
    """The octets of a form field: base64 to the letter, of which only whitespace is skipped."""
    if len(value) > MAX_FIELD:
        raise refuse(Denial.TOO_LARGE, f"{len(value)} characters", f"at most {MAX_FIELD}")
    try:
        packed = value.encode("ascii").translate(None, _WHITESPACE)
        data = binascii.a2b_base64(packed, strict_mode=True)
        # Python's strict mode takes padding behind a group that is whole.
        if len(packed) % 4 or packed.endswith(b"==="):
            raise binascii.Error("too much padding")
    except (UnicodeEncodeError, binascii.Error) as err:
        raise refuse(Denial.MALFORMED, "a value that is no base64", "base64") from err
    if not data:
        raise refuse(Denial.MALFORMED, "nothing", "a message in base64")
    return data


def read_document(
    data: bytes, limits: Limits = LIMITS, *, around: Mapping[str | None, str] | None = None
) -> Document:
    """Parse octets and walk the tree.

    `around` are the namespaces where a decrypted element stood: XML Encryption 1.1 section 4.3.3 has it read there.
    """
    _check_octets(data, limits)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=False,
        remove_pis=False,
        collect_ids=False,
    )
    try:
        if around is None:
            root = etree.fromstring(data, parser)
        else:
            root = etree.fromstring(_wrapped(data, around), parser)
    except (etree.XMLSyntaxError, ValueError) as err:
        raise refuse(Denial.XML_REFUSED, "what is no XML document", "an XML document") from err
    if around is not None:
        root = _unwrapped(root)
    elif root.getprevious() is not None or root.getnext() is not None:
        raise refuse(Denial.XML_REFUSED, "a comment or processing instruction", "elements and text only")
    return Document(root, _walk(root, limits))


def _check_octets(data: bytes, limits: Limits) -> None:
    if len(data) > limits.octets:
        raise refuse(Denial.TOO_LARGE, f"{len(data)} octets", f"at most {limits.octets}")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise refuse(Denial.XML_REFUSED, "another encoding", "UTF-8") from err
    if b"\0" in data:
        raise refuse(Denial.XML_REFUSED, "another encoding", "UTF-8")
    if data.startswith((b"<?xml", b"\xef\xbb\xbf<?xml")) and not _DECLARATION.match(data):
        raise refuse(Denial.XML_REFUSED, "another XML declaration", "XML 1.0 in UTF-8")
    # In UTF-8 there is no other way to write it, and what would expand must not be parsed.
    if b"<!DOCTYPE" in data:
        raise refuse(Denial.XML_REFUSED, "a document type", "none")
    # Each element has at least one `<`, and no tag holds a second one: between two of them lies one tag at most.
    if data.count(b"<") > 2 * limits.elements:
        raise refuse(
            Denial.XML_REFUSED, f"more than {limits.elements} elements", f"at most {limits.elements}"
        )
    if data.count(b"xmlns") > limits.more_namespaces:
        counts = [part.count(b"xmlns") for part in data.split(b"<")]
        if (
            sum([count - limits.namespaces for count in counts if count > limits.namespaces])
            > limits.more_namespaces
        ):
            raise refuse(Denial.XML_REFUSED, f"{sum(counts)} namespaces", "a few")


def _wrapped(data: bytes, around: Mapping[str | None, str]) -> bytes:
    """The octets inside an element that declares the namespaces. Were they to close it, no document would be left."""
    outer = etree.Element("around", nsmap={prefix: uri for prefix, uri in around.items() if prefix != "xml"})
    head: bytes = etree.tostring(outer)
    return head.removesuffix(b"/>") + b">" + data + b"</around>"


def _unwrapped(outer: etree._Element) -> etree._Element:
    """The one element in it. Whitespace around it is nothing."""
    if len(outer) != 1 or (outer.text or "").strip() or (outer[0].tail or "").strip():
        raise refuse(Denial.XML_REFUSED, "something else than one element", "one element")
    return outer[0]


def _walk(root: etree._Element, limits: Limits) -> dict[str, list[etree._Element]]:
    """Look at every node once, in document order."""
    found: dict[str, list[etree._Element]] = {}
    ids: set[str] = set()
    known: set[str] = set()
    left, left_attributes = limits.elements, limits.all_attributes

    def visit(element: etree._Element, depth: int) -> None:
        nonlocal left, left_attributes
        tag = element.tag
        if tag not in known:
            _check_tag(tag)
            known.add(tag)
        if tag in _KEPT:
            found.setdefault(tag, []).append(element)
        left -= 1
        if depth > limits.depth or left < 0:
            raise refuse(Denial.XML_REFUSED, "a document too deep or too long", "a message")
        attributes = element.keys()
        if attributes:
            left_attributes -= len(attributes)
            if len(attributes) > limits.attributes or left_attributes < 0:
                raise refuse(Denial.XML_REFUSED, f"{len(attributes)} attributes", "a few")
            _check_attributes(element, attributes, ids)
        if len(element):
            for child in element:
                visit(child, depth + 1)

    visit(root, 1)
    return found


def _check_tag(tag: object) -> None:
    if not isinstance(tag, str):
        raise refuse(Denial.XML_REFUSED, "a comment or processing instruction", "elements and text only")
    guarded = _GUARDED.get(tag.rpartition("}")[2])
    if guarded is not None and tag != guarded:
        raise refuse(Denial.XML_REFUSED, "a look-alike of another namespace", guarded)


def _check_attributes(element: etree._Element, attributes: list[str], ids: set[str]) -> None:
    """No two IDs alike, however they are spelt, and none of a namespace: libraries would look them up differently."""
    for name in attributes:
        if name in _ID_NAMES:
            value = element.get(name)
            if value in ids or not _ID.fullmatch(value):
                raise refuse(Denial.XML_REFUSED, "an ID that is no ID or stands twice", "unique IDs")
            ids.add(value)
        elif name[0] == "{" and name.rpartition("}")[2].lower() == "id":
            raise refuse(Denial.XML_REFUSED, "an ID of another namespace", "ID")


def refuse_strangers(
    parent: etree._Element, once: frozenset[str], *, repeated: frozenset[str] = frozenset()
) -> None:
    """Refuse any child of another name, and a second one of those that may stand once only."""
    seen: set[str] = set()
    for child in parent:
        tag = child.tag
        if tag in repeated:
            continue
        if tag not in once or tag in seen:
            reason = Denial.SIGNATURE_SHAPE if tag == names.SIGNATURE else Denial.XML_REFUSED
            raise refuse(
                reason, f"an unexpected element {str(tag).rpartition('}')[2]}", "the parts of SAML 2.0"
            )
        seen.add(tag)
