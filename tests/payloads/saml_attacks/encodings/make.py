"""Class 16: what wraps the message."""

import base64
import gzip
import zlib
from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, attack, raw
from tests.saml_forge.logout import LOGOUT, logout_request
from tests.saml_forge.messages import ASSERTION, SUBJECT, VICTIM, response
from tests.saml_forge.signing import sign

XML = Denial.XML_REFUSED
MALFORMED = Denial.MALFORMED


def make(canary: str) -> Iterator[Attack]:
    """Base64 that is none, encodings that hide, documents that are two."""
    honest = sign(response(), ASSERTION)
    yield from codes(coded(honest))
    yield from paddings(honest)
    yield from encodings(honest)
    yield from documents(honest)


def codes(good: str) -> Iterator[Attack]:
    junk = "characters that lenient readers skip"
    for name, value, origin in (
        ("empty", "", "nothing"),
        ("blank", " \r\n\t", "only whitespace"),
        ("junk-character", good[:40] + "*" + good[40:], junk),
        ("junk-behind", good + "!", junk),
        ("junk-before", "-" + good, junk),
        ("null-inside", good[:40] + "\x00" + good[40:], junk),
        ("non-ascii", good[:40] + "\xe4" + good[40:], junk),
        ("vertical-tab", good[:40] + "\x0b" + good[40:], junk),
        ("truncated-by-one", good.rstrip("=")[:-1], "cut off"),
        ("truncated-half", good[: len(good) // 2 // 4 * 4], "cut off between two groups"),
        ("without-padding", good.rstrip("=")[: (len(good) // 4 - 1) * 4 + 2], "cut off"),
        ("padding-inside", good[:40] + "====" + good[40:], "a second text behind the padding"),
        (
            "url-alphabet",
            coded("\u00ff\u00fe\u00fb>>>???" * 3).replace("+", "-").replace("/", "_"),
            "RFC 4648 section 5",
        ),
        ("escaped", good.replace("=", "%3D").replace("+", "%2B") + "%0A", "escaped twice"),
        ("double", coded(good), "encoded twice"),
        ("xml-in-the-open", "<samlp:Response/>", "not encoded at all"),
        ("not-xml", coded("hello"), "a word"),
        ("empty-document", coded(" "), "only whitespace"),
        ("json", coded('{"user": "vera"}'), "another language"),
        ("null-octets", coded("\x00" * 64), "octets that are no text"),
    ):
        reason = (
            XML
            if name in {"truncated-half", "double", "not-xml", "empty-document", "json", "null-octets"}
            else MALFORMED
        )
        yield raw(name, reason, origin, value)


def paddings(honest: str) -> Iterator[Attack]:
    """More padding than there is to pad, behind each length of the last group."""
    for count in range(3):
        text = honest + " " * ((count - len(honest.encode())) % 3)
        good = coded(text).rstrip("=")
        for padding in range(1, 5):
            if (len(good) + padding) % 4 or padding > 2:
                yield raw(
                    f"padding-of-{padding}-behind-{len(good) % 4}",
                    MALFORMED,
                    "not to the letter",
                    good + "=" * padding,
                )


def encodings(honest: str) -> Iterator[Attack]:
    forged = honest.replace(SUBJECT, VICTIM)
    doctype = f"<!DOCTYPE r []>{honest}"
    for name, octets, origin in (
        ("utf-16-le", b"\xff\xfe" + honest.encode("utf-16-le"), "UTF-8 only"),
        ("utf-16-be", b"\xfe\xff" + honest.encode("utf-16-be"), "UTF-8 only"),
        ("utf-16-without-mark", honest.encode("utf-16-le"), "UTF-8 only"),
        ("utf-16-hiding-a-dtd", b"\xff\xfe" + doctype.encode("utf-16-le"), "a search of octets finds no DTD"),
        ("utf-32", honest.encode("utf-32"), "UTF-8 only"),
        ("utf-7", f'<?xml version="1.0" encoding="UTF-7"?>{honest}'.encode("utf-7"), "hides angle brackets"),
        ("declared-utf-7", f'<?xml version="1.0" encoding="UTF-7"?>{honest}'.encode(), "not what it is"),
        ("declared-utf-16", f'<?xml version="1.0" encoding="UTF-16"?>{honest}'.encode(), "not what it is"),
        ("declared-latin-1", f'<?xml version="1.0" encoding="ISO-8859-1"?>{honest}'.encode(), "UTF-8 only"),
        ("declared-ascii", f'<?xml version="1.0" encoding="US-ASCII"?>{honest}'.encode(), "UTF-8 only"),
        ("declared-ebcdic", f'<?xml version="1.0" encoding="IBM037"?>{honest}'.encode("cp037"), "UTF-8 only"),
        ("latin-1-octets", forged.replace("vera", "v\u00e9ra").encode("latin-1"), "octets that are no UTF-8"),
        ("overlong", forged.encode().replace(b"vera", b"v\xc1\xa5ra"), "octets that are no UTF-8"),
        ("surrogates", forged.encode().replace(b"vera", b"v\xed\xa0\x80ra"), "octets that are no UTF-8"),
        ("two-marks", b"\xef\xbb\xbf\xef\xbb\xbf" + honest.encode(), "a second mark is a character"),
        ("deflated", zlib.compress(honest.encode()), "nothing is inflated at this binding"),
        ("gzipped", gzip.compress(honest.encode(), mtime=0), "nothing is inflated at this binding"),
    ):
        yield raw(name, XML, origin, base64.b64encode(octets).decode())
    for name, declaration in (
        ("xml-1-1", '<?xml version="1.1"?>'),
        ("xml-2-0", '<?xml version="2.0"?>'),
        ("declaration-twice", '<?xml version="1.0"?><?xml version="1.0"?>'),
        ("declaration-behind-space", ' <?xml version="1.0"?>'),
        ("declaration-without-version", '<?xml encoding="UTF-8"?>'),
    ):
        yield attack(name, XML, "XML 1.0 only", declaration + honest)


def documents(honest: str) -> Iterator[Attack]:
    yield attack("second-document", XML, "what follows the root", honest + honest)
    yield attack(
        "second-document-behind-declaration",
        XML,
        "what follows the root",
        f'{honest}<?xml version="1.0"?>{honest}',
    )
    yield attack("null-behind", XML, "what follows the root", honest + "\x00")
    yield attack(
        "logout-request", XML, "a message for another address of ours", sign(logout_request(), LOGOUT)
    )
    yield raw(
        "response-by-get",
        MALFORMED,
        "Bindings 3.4: a response comes by POST",
        coded(honest),
        at="endpoint",
    )
    yield raw("field-twice", MALFORMED, "two fields, and which one counts?", coded(honest), at="endpoint")
    yield raw("field-missing", MALFORMED, "a form without the field", "", at="endpoint")


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
