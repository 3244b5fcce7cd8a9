"""Bearer tokens: 256 random bits behind a readable prefix, of which only a digest is kept.

The prefix finds the row by an index; the digest of the whole text is compared in constant time. A password hash for
each request would cost a thousand times more and gain nothing: there is nothing to guess in 256 bits.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

_PREFIX_LETTERS = 8
_SECRET_BYTES = 32
_FORM = re.compile(r"(usher_(scim|audit)_[a-z2-7]{8})_[A-Za-z0-9_-]{43}", re.ASCII)

SCIM = "scim"
AUDIT = "audit"
"""What a token opens: a directory to be written, or an organisation's record to be read."""


@dataclass(frozen=True, slots=True)
class FreshToken:
    """A new token. `text` is shown once and kept nowhere."""

    text: str
    prefix: str
    sha256: bytes

    def __repr__(self) -> str:
        return f"FreshToken({self.prefix})"


def make_token(random: bytes, purpose: str = SCIM) -> FreshToken:
    """Make a token of 48 random bytes."""
    if len(random) < _SECRET_BYTES + _PREFIX_LETTERS:
        raise ValueError(f"a token needs {_SECRET_BYTES + _PREFIX_LETTERS} random bytes, got {len(random)}")
    letters = base64.b32encode(random[_SECRET_BYTES:]).decode().lower()[:_PREFIX_LETTERS]
    secret = base64.urlsafe_b64encode(random[:_SECRET_BYTES]).decode().rstrip("=")
    prefix = f"usher_{purpose}_{letters}"
    text = f"{prefix}_{secret}"
    return FreshToken(text, prefix, digest(text))


def read_prefix(text: str, purpose: str = SCIM) -> str:
    """The prefix of a token's text; empty when the text is no token of that purpose."""
    found = _FORM.fullmatch(text)
    return found[1] if found and found[2] == purpose else ""


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def is_same(text: str, sha256: bytes) -> bool:
    """Whether the text is the token of this digest, in a time that does not tell how nearly."""
    return hmac.compare_digest(digest(text), sha256)
