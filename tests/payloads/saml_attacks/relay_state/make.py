"""Class 14: where a login leads to. Without a request: to a listed address only, compared as a whole."""

from collections.abc import Iterator

from saml.errors import Denial
from tests.saml_forge.cases import Attack, relay_state

LISTED = "https://app.example.com/start"
VALUES = (
    ("absolute", "https://evil.example/", "another host"),
    ("scheme-relative", "//evil.example/", "a host without a scheme"),
    ("three-slashes", "///evil.example/", "browsers skip the third"),
    ("backslashes", "\\\\evil.example\\", "browsers turn them round"),
    ("slash-backslash", "/\\evil.example/", "browsers turn it round"),
    ("userinfo", "https://app.example.com@evil.example/start", "the host stands behind the @"),
    (
        "userinfo-with-password",
        "https://app.example.com:x@evil.example/start",
        "the host stands behind the @",
    ),
    ("look-alike-host", "https://app.example.com.evil.example/start", "a longer host"),
    ("look-alike-letter", "https://app.ex\u0430mple.com/start", "a Cyrillic letter"),
    ("other-port", "https://app.example.com:8443/start", "another port"),
    ("other-scheme", "http://app.example.com/start", "another scheme"),
    ("longer-path", LISTED + "/../../evil", "goes up again"),
    ("with-query", LISTED + "?next=//evil.example", "with something behind"),
    ("with-fragment", LISTED + "#//evil.example", "with something behind"),
    ("prefix", LISTED[:-1], "less than the whole"),
    ("upper-case", LISTED.upper(), "other letters"),
    ("javascript", "javascript:alert(1)", "a script"),
    ("javascript-in-capitals", "JaVaScRiPt:alert(1)", "a script"),
    ("javascript-with-tab", "java\tscript:alert(1)", "browsers skip the tab"),
    ("data", "data:text/html,<script>alert(1)</script>", "a page of its own"),
    ("line-break", LISTED + "\r\nSet-Cookie: x=y", "a header of its own"),
    ("null-character", LISTED + "\x00", "a control character"),
    ("control-character-before", "\x01" + LISTED, "browsers skip it"),
    ("space-before", " " + LISTED, "browsers skip it"),
    ("encoded-slashes", "%2F%2Fevil.example", "escaped once"),
    ("doubly-encoded-slashes", "%252F%252Fevil.example", "escaped twice"),
    ("local-path", "/oidc/authorize?client_id=x", "a path of ours that is not listed"),
    ("over-long", LISTED + "?" + "x" * 5_000, "Bindings 3.4.3: 80 bytes"),
    ("key-of-nobody", "0123456789abcdef", "a key that we did not give"),
)


def make(canary: str) -> Iterator[Attack]:
    """The field RelayState of an otherwise good login without a request."""
    for name, value, origin in VALUES:
        yield relay_state(name, Denial.RELAY_STATE_REFUSED, origin, value)
