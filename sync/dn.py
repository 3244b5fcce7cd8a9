r"""Distinguished names, for comparing only: two spellings of one name give one key.

Types and values are casefolded, spaces around separators dropped and runs of spaces made one, escapes
decoded, composed and decomposed letters alike, the parts of a multi-valued RDN sorted. Every value compares
as caseIgnoreMatch does; no schema is known here. A key is never shown and never stored: a name keeps its own
spelling.
Source: RFC 4514 sections 2 and 3; RFC 4518 section 2.
"""

import re
import unicodedata
from typing import Final

# Lower case, and NUL for every byte that needs the long way: letters beyond ASCII, escapes, quotes,
# multi-valued RDNs, `#` forms, the semicolon of RFC 2253.
_FAST: Final = bytes(
    0 if byte >= 0x80 or byte in b'\\"+#;\0' else byte + 32 if 65 <= byte <= 90 else byte
    for byte in range(256)
)
_SPECIAL: Final = re.compile(r'[\\"+#;\0]')
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_ESCAPED_IN_KEY: Final = str.maketrans({char: f"\\{ord(char):02x}" for char in '\\",+;#\0'})
# BER tags of text: OCTET STRING, UTF8String, PrintableString, IA5String.
_TEXT_TAGS: Final = frozenset({0x04, 0x0C, 0x13, 0x16})


def dn_key(dn: str | bytes) -> str:
    """The form in which distinguished names compare.

    Total: a text that is no distinguished name gets a key as well, which equals that of no well-formed one.
    """
    raw = dn if isinstance(dn, bytes) else dn.encode("utf-8", "surrogateescape")
    key = raw.translate(_FAST).decode("ascii")
    if "\0" in key:
        key = _casefold(raw.decode("utf-8", "surrogateescape"))
        if _SPECIAL.search(key):
            return _parsed_key(raw)
    if " " in key and (
        ", " in key
        or " ," in key
        or "= " in key
        or " =" in key
        or "  " in key
        or key[0] == " "
        or key[-1] == " "
    ):
        return _parsed_key(raw)
    return key


def is_within(dn: str | bytes, base: str | bytes) -> bool:
    """Whether the entry is the base or stands below it."""
    return key_is_within(dn_key(dn), dn_key(base))


def key_is_within(key: str, base_key: str) -> bool:
    """`is_within` on keys already made. The empty base holds everything."""
    # A comma inside a value is escaped in a key, so that a plain one always separates.
    return not base_key or key == base_key or key.endswith("," + base_key)


def _parsed_key(raw: bytes) -> str:
    return ",".join(
        "+".join(sorted(f"{_fold(kind)}={_fold(value)}" for kind, value in rdn)) for rdn in _parse(raw)
    )


def _fold(raw: bytes) -> str:
    text = _casefold(raw.decode("utf-8", "surrogateescape"))
    return " ".join(part for part in text.split(" ") if part).translate(_ESCAPED_IN_KEY)


def _casefold(text: str) -> str:
    # NFC, not NFKC: compatibility forms would turn a full-width comma into a separator.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _parse(raw: bytes) -> list[list[tuple[bytes, bytes]]]:
    """RDNs with their parts, as decoded bytes: an escape may hold one byte of a letter, so text comes later."""
    rdns: list[list[tuple[bytes, bytes]]] = []
    parts: list[tuple[bytes, bytes]] = []
    position = 0
    while True:
        kind, position = _take(raw, position, b"=,+;")
        value = b""
        if raw[position : position + 1] == b"=":
            value, position = _take_value(raw, position + 1)
        parts.append((kind, value))
        separator = raw[position : position + 1]
        position += 1
        if separator != b"+":
            rdns.append(parts)
            parts = []
        if not separator:
            return rdns


def _take_value(raw: bytes, position: int) -> tuple[bytes, int]:
    while raw[position : position + 1] == b" ":
        position += 1
    lead = raw[position : position + 1]
    if lead == b"#":
        taken, end = _take(raw, position, b",+;")
        return _decoded_hex(taken), end
    if lead == b'"':
        value, end = _take(raw, position + 1, b'"')
        # What stands between the closing quote and the separator is blank in a well-formed name.
        rest, end = _take(raw, end + 1, b",+;")
        return value + rest, end
    return _take(raw, position, b",+;")


def _take(raw: bytes, position: int, stops: bytes) -> tuple[bytes, int]:
    """Read up to one of `stops`, decoding escapes."""
    taken = bytearray()
    while position < len(raw):
        byte = raw[position]
        if byte in stops:
            break
        if byte != 0x5C:
            taken.append(byte)
            position += 1
        elif len(pair := raw[position + 1 : position + 3]) == 2 and _HEX.issuperset(pair):
            taken.append(int(pair, 16))
            position += 3
        else:
            taken += raw[position + 1 : position + 2]
            position += 2
    return bytes(taken), min(position, len(raw))


def _decoded_hex(taken: bytes) -> bytes:
    """The text of a `#` form that holds one of the BER text types, else the form itself, marked as no text."""
    try:
        ber = bytes.fromhex(taken[1:].strip().decode("ascii"))
    except ValueError:
        ber = b""
    if len(ber) >= 2 and ber[0] in _TEXT_TAGS and ber[1] < 0x80 and ber[1] == len(ber) - 2:
        return ber[2:]
    return b"\0" + taken
