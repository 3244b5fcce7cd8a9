"""Checkpoints of the log: the signed statement of its size and root. Holds no key: signing is a function.

A checkpoint is the text of a signed note. Lines of signatures by keys that the reader does not know, such as
those of witnesses (`cosignature/v1`) or of a newer key, are tolerated and never count.

Source: c2sp.org/signed-note@v1.0.0; c2sp.org/tlog-checkpoint@v1.0.0; golang.org/x/mod/sumdb/note.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.errors import KeyFormatError, NoteError
from audit.tree import HASH_BYTES

ED25519 = 1
"""The type of signature. Source: signed-note, section Signature types."""

KEY_HASH_BYTES = 4
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100

_PUBLIC_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_DASH = "\N{EM DASH} "
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_KEY_HASH = re.compile(r"[0-9a-f]{8}")
# A key's name has no space of any script and no plus. Source: signed-note, section Format.
_NAME = re.compile(r"[^\s+]+")
_UNCLEAN = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")

Sign = Callable[[bytes], bytes]
"""Signs a message with Ed25519; gives 64 bytes. Source: RFC 8032 section 5.1.6."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """That the log `origin` had `size` leaves and this root."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: who, by which key, and what. Nothing says yet that it is good."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public Ed25519 key and the name it signs with."""

    name: str
    public_key: bytes

    @property
    def hash(self) -> bytes:
        return key_hash(self.name, self.public_key)


@dataclass(frozen=True, slots=True)
class VerifiedNote:
    """A text that at least one trusted key has signed: by whom, and which signatures were not looked at."""

    text: str
    signers: tuple[VerifierKey, ...]
    unknown: tuple[NoteSignature, ...]


def key_hash(name: str, public_key: bytes) -> bytes:
    """The four bytes that name a key beside its name. Not a fingerprint: it can be forged at will."""
    return sha256(name.encode() + b"\n" + bytes([ED25519]) + public_key).digest()[:KEY_HASH_BYTES]


def render_vkey(name: str, public_key: bytes) -> str:
    """The key as one line, to be pinned by whoever verifies."""
    _check_key(name, public_key)
    encoded = b64encode(bytes([ED25519]) + public_key).decode()
    return f"{name}+{key_hash(name, public_key).hex()}+{encoded}"


def parse_vkey(vkey: str) -> VerifierKey:
    """Read a verifier key, and check that its three parts belong together."""
    name, _, rest = vkey.partition("+")
    told_hash, _, encoded = rest.partition("+")
    decoded = _decode_base64(encoded)
    if decoded is None or _KEY_HASH.fullmatch(told_hash) is None:
        message = f"{vkey!r} is no verifier key; it has the form name+hash+key"
        raise KeyFormatError(message)
    if decoded[:1] != bytes([ED25519]):
        message = f"the verifier key {vkey!r} is not one of Ed25519"
        raise KeyFormatError(message)
    key = VerifierKey(name, decoded[1:])
    _check_key(key.name, key.public_key)
    if key.hash.hex() != told_hash:
        message = f"the verifier key {vkey!r} is damaged: its hash is {key.hash.hex()}"
        raise KeyFormatError(message)
    return key


def render_checkpoint(checkpoint: Checkpoint) -> str:
    """The text that is signed: origin, size and root, one a line."""
    origin = checkpoint.origin
    if not origin or not origin.isprintable() or len(checkpoint.root) != HASH_BYTES or checkpoint.size < 0:
        message = f"no checkpoint of the log {origin!r} at size {checkpoint.size}"
        raise NoteError(message)
    return f"{origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a note. Further lines are extensions, which say nothing to us."""
    lines = text.split("\n")
    # The text ends with a line end, so that the last piece is empty and no other may be.
    if len(lines) < 4 or lines.pop() or "" in lines:
        message = "a checkpoint has three lines: origin, size and root"
        raise NoteError(message)
    root = _decode_base64(lines[2])
    if _SIZE.fullmatch(lines[1]) is None or root is None or len(root) != HASH_BYTES:
        message = f"the checkpoint of {lines[0]!r} has no size or no root"
        raise NoteError(message)
    return Checkpoint(lines[0], int(lines[1]), root)


def sign_note(text: str, name: str, public_key: bytes, sign: Sign) -> str:
    """Make a note of `text` with one signature. The signature is checked before it is given away."""
    if not text.endswith("\n") or text == "\n" or not _is_clean(text):
        message = "the text of a note ends with a line end and holds no control characters"
        raise NoteError(message)
    return f"{text}\n{_render_signature(text, name, public_key, sign)}"


def add_signature(note: str, name: str, public_key: bytes, sign: Sign) -> str:
    """Sign a note that is signed already, as while one key takes over from another.

    An earlier signature by the same key is replaced.
    """
    text, signatures = split_note(note)
    kept = "".join(
        f"{_DASH}{one.name} {b64encode(one.key_hash + one.signature).decode()}\n"
        for one in signatures
        if (one.name, one.key_hash) != (name, key_hash(name, public_key))
    )
    return f"{text}\n{kept}{_render_signature(text, name, public_key, sign)}"


def split_note(note: str) -> tuple[str, tuple[NoteSignature, ...]]:
    """Take a note apart into its text and its signatures, none of which is checked."""
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or len(note) > MAX_NOTE_BYTES or not _is_clean(note):
        message = "no signed note: it is a text, an empty line and lines of signatures"
        raise NoteError(message)
    signatures = tuple(_parse_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        message = f"a note with more than {MAX_SIGNATURES} signatures"
        raise NoteError(message)
    return f"{text}\n", signatures


def verify_note(note: str, vkeys: Iterable[str]) -> VerifiedNote:
    """Check the signatures of the keys given.

    Raises: `NoteError` when none of the keys has signed, or when a signature by one of them is wrong, even
    beside a good one; `KeyFormatError` for a key that cannot be used.
    Source: signed-note, section Signatures.
    """
    known = {(key.name, key.hash): key for key in map(parse_vkey, vkeys)}
    text, signatures = split_note(note)
    signers: list[VerifierKey] = []
    unknown: list[NoteSignature] = []
    for signature in signatures:
        key = known.get((signature.name, signature.key_hash))
        if key is None:
            unknown.append(signature)
        elif not _is_signed(text, key.public_key, signature.signature):
            message = f"the signature by {key.name!r} is wrong; the text is not what was signed"
            raise NoteError(message)
        elif key not in signers:
            signers.append(key)
    if not signers:
        message = f"not signed by a trusted key, only by {', '.join(sorted({one.name for one in unknown}))}"
        raise NoteError(message)
    return VerifiedNote(text, tuple(signers), tuple(unknown))


def _render_signature(text: str, name: str, public_key: bytes, sign: Sign) -> str:
    _check_key(name, public_key)
    signature = sign(text.encode())
    if not _is_signed(text, public_key, signature):
        message = f"what signs for {name!r} does not hold the private key that belongs to its public key"
        raise NoteError(message)
    return f"{_DASH}{name} {b64encode(key_hash(name, public_key) + signature).decode()}\n"


def _parse_signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    decoded = _decode_base64(encoded)
    if (
        not line.startswith(_DASH)
        or _NAME.fullmatch(name) is None
        or decoded is None
        or len(decoded) <= KEY_HASH_BYTES
    ):
        message = "no signed note: one of the lines after its text is no signature"
        raise NoteError(message)
    return NoteSignature(name, decoded[:KEY_HASH_BYTES], decoded[KEY_HASH_BYTES:])


def _is_signed(text: str, public_key: bytes, signature: bytes) -> bool:
    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True


def _check_key(name: str, public_key: bytes) -> None:
    if _NAME.fullmatch(name) is None or not _is_clean(name) or len(public_key) != _PUBLIC_KEY_BYTES:
        message = (
            f"the key {name!r} needs a name without spaces and plus signs, and {_PUBLIC_KEY_BYTES} bytes"
        )
        raise KeyFormatError(message)


def _is_clean(text: str) -> bool:
    """Tell whether it is text of a note: no control characters but line ends, nothing that UTF-8 lacks."""
    return _UNCLEAN.search(text) is None


def _decode_base64(encoded: str) -> bytes | None:
    """Decode, if it is the one way to write these bytes. Source: RFC 4648 sections 3.5 and 4."""
    try:
        decoded = b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        return None
    return decoded if b64encode(decoded).decode() == encoded else None
