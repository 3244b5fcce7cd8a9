"""Takes secrets out of logs and error texts. A net under the rule that secrets are never passed there.

Names decide first (`bind_password`, `Authorization`), then the look of the text (bearer tokens, private keys,
SAML assertions). Everything is bounded, because what is logged may come from outside. It knows nothing of
personal data.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from itertools import islice

REDACTED = "[redacted]"
MAX_DEPTH = 8
MAX_ITEMS = 100
MAX_NODES = 2_000
MAX_TEXT = 8_192
MAX_NAME = 128

# Looked for in a name without its separators, so that `bind_password`, `BindPassword` and `bind-password` are
# one.
_SECRET_WORDS = (
    "apikey",
    "assertion",
    "authorization",
    "bindpw",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "samlrequest",
    "samlresponse",
    "secret",
    "sessionindex",
    "token",
    "unicodepwd",
)
# A name that ends in one of these tells of a secret without being it: `token_id`, `password_sha256`.
_HARMLESS_LAST_WORDS = frozenset(
    {
        "at",
        "count",
        "expires",
        "file",
        "fingerprint",
        "id",
        "len",
        "length",
        "name",
        "seconds",
        "sha256",
        "type",
    }
)
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
_LAST_WORD = re.compile(r"(?:[A-Z]?[a-z0-9]+|[A-Z0-9]+)\Z")
_NAME_IN_TEXT = (
    r"(?:api[_-]?key|assertion|bind[_-]?pw|credential|passphrase|passwd|password|private[_-]?key"
    r"|saml[_-]?re(?:quest|sponse)|secret|session[_-]?index|token|unicodepwd)s?"
)
# Each pattern is linear in the text: repetitions are bounded or cannot overlap what follows them. Blocks come
# first; the later ones would only take their first words. A block that was cut off ends with the text.
_LOOKS = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]{0,24}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,24}PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        REDACTED,
    ),
    (
        re.compile(
            r"<(?:\w{1,16}:)?(?P<block>EncryptedAssertion|Assertion|Response)\b.*?(?:</(?:\w{1,16}:)?(?P=block)>|\Z)",
            re.DOTALL,
        ),
        REDACTED,
    ),
    # A whole header: its value may hold several secrets.
    (
        re.compile(r"(?i)((?:authorization|cookie)\\?[\"']?\s{0,3}[:=]\s{0,3}+)(?!\[redacted\])[^\r\n]+"),
        rf"\1{REDACTED}",
    ),
    # Basic and Negotiate are also words of sentences; what follows them here has a figure or padding in it.
    (re.compile(r"(?i)\b(bearer\s{1,3})[\w.~+/=-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b((?:basic|negotiate)\s{1,3})(?=[a-z+/]{0,256}[0-9=])[\w+/=]{8,}"), rf"\1{REDACTED}"),
    (
        re.compile(
            rf"(?i)({_NAME_IN_TEXT}\\?[\"']?\s{{0,3}}(?>=>?|::?)\s{{0,3}}+)(?!\[redacted\])"
            r"(?:\"[^\"]*\"|'[^']*'|\\?[\"']?[^\s,;&\"'}\])]+)"
        ),
        rf"\1{REDACTED}",
    ),
    # A JSON Web Token, and the password of an address.
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), REDACTED),
    (re.compile(r"(?<=://)[^\s/@:]{0,128}:(?!\[redacted\])[^\s/@]{1,256}(?=@)"), REDACTED),
    # An opaque token: long, with capitals, small letters and figures. Digests are hexadecimal and stay.
    (
        re.compile(
            r"(?<![\w-])(?=[a-z0-9_-]{0,256}[A-Z])(?=[A-Z0-9_-]{0,256}[a-z])(?=[A-Za-z_-]{0,256}[0-9])[\w-]{40,}",
            re.ASCII,
        ),
        REDACTED,
    ),
)


def redact(value: object) -> object:
    """Copy `value` without secrets, as plain text, numbers, lists and dicts with text keys.

    At most `MAX_DEPTH` levels, `MAX_ITEMS` items of each container, `MAX_NODES` values in all and `MAX_TEXT`
    characters of each text; what is left out is said. Bytes are replaced by their number; a pair whose first
    half is the name of a secret (a header) loses its second half; other objects become their redacted text.
    """
    return _Walk().copy(value, 0)


def redact_text(text: str) -> str:
    """Take what looks like a secret out of `text`, and cut it at `MAX_TEXT` characters."""
    cut = text[:MAX_TEXT]
    for look, replacement in _LOOKS:
        cut = look.sub(replacement, cut)
    left_out = len(text) - MAX_TEXT
    return f"{cut}[{left_out} more characters]" if left_out > 0 else cut


def is_secret_name(name: str) -> bool:
    """Tell whether a key, attribute, header or setting of this name holds a secret."""
    squashed = _SEPARATORS.sub("", name).lower()
    if not any(word in squashed for word in _SECRET_WORDS):
        return False
    last_word = _LAST_WORD.search(name)
    return last_word is None or last_word.group().lower() not in _HARMLESS_LAST_WORDS


def fingerprint(secret: bytes) -> str:
    """Name a secret without telling it, by 16 hexadecimal figures. Not for secrets that can be guessed."""
    return f"sha256:{sha256(secret).hexdigest()[:16]}"


class _Walk:
    """One copy; counts the values seen, so that a wide and deep value stays bounded."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes = 0

    def copy(self, value: object, depth: int) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            return "[too large]"
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return redact_text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth == MAX_DEPTH:
                return "[too deep]"
            if isinstance(value, Mapping):
                return self._copy_mapping(value, depth + 1)
            if _is_secret_pair(value):
                return [*islice(value, 1), REDACTED]
            return self._copy_items(value, len(value), depth + 1)
        return redact_text(str(value))

    def _copy_mapping(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        copied: dict[str, object] = {}
        for key, item in islice(value.items(), MAX_ITEMS):
            name = str(key)
            copied[redact_text(name[:MAX_NAME])] = (
                REDACTED if is_secret_name(name) and not _is_no_secret(item) else self.copy(item, depth)
            )
        if len(value) > MAX_ITEMS:
            copied["..."] = f"[{len(value) - MAX_ITEMS} more]"
        return copied

    def _copy_items(self, value: Iterable[object], length: int, depth: int) -> list[object]:
        copied = [self.copy(item, depth) for item in islice(value, MAX_ITEMS)]
        if length > MAX_ITEMS:
            copied.append(f"[{length - MAX_ITEMS} more]")
        return copied


def _is_no_secret(value: object) -> bool:
    """That a secret is absent is worth knowing, and a flag is none."""
    return value is None or isinstance(value, bool) or (isinstance(value, str) and not value)


def _is_secret_pair(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and is_secret_name(value[0])
    )
