"""Secrets at rest: AES-256-GCM under a ring of keys, each value bound to the row and column it stands in.

A sealed value is `key id length (1 byte) | key id | nonce (12 bytes) | ciphertext and tag`. Key ids make rotation
possible: new values are sealed by the current key, older ones open as long as their key is on the ring.
Source: NIST SP 800-38D section 8.2.2 for random nonces of 96 bits.
"""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.errors import KeyRingError, SealError

KEY_BYTES = 32
NONCE_BYTES = 12
MAX_KEY_ID_BYTES = 32


def bind_place(organisation_id: str, row: str, column: str) -> bytes:
    """Name the place of a value. What is sealed for one place opens in no other."""
    return f"{organisation_id}|{row}|{column}".encode()


@dataclass(frozen=True, slots=True)
class _Keys:
    ciphers: Mapping[bytes, AESGCM] = field(repr=False)
    current: AESGCM = field(repr=False)
    prefix: bytes


class KeyRing:
    """The keys of the service by id. `current` seals; all of them open. Never shown, not even by `repr`.

    `changed` gives the ring anew when it has changed where it is kept, else None. It is asked before a value is
    sealed and when one needs a key that is not known, so that a process that runs follows a rotation. A key that is
    known stays so until the process ends. Safe between threads.
    """

    __slots__ = ("_changed", "_keys")

    def __init__(
        self,
        keys: Mapping[str, bytes],
        current: str,
        *,
        changed: "Callable[[], KeyRing | None] | None" = None,
    ) -> None:
        if current not in keys:
            raise KeyRingError(f"the current key {current!r} is not on the key ring; add it or name another")
        for key_id, key in keys.items():
            if not 0 < len(key_id.encode()) <= MAX_KEY_ID_BYTES:
                raise KeyRingError(f"key id {key_id!r} must be 1 to {MAX_KEY_ID_BYTES} bytes long")
            if len(key) != KEY_BYTES:
                raise KeyRingError(f"key {key_id!r} has {len(key)} bytes; {KEY_BYTES} are needed")
        ciphers = {key_id.encode(): AESGCM(key) for key_id, key in keys.items()}
        prefix = bytes([len(current.encode())]) + current.encode()
        self._keys = _Keys(ciphers, ciphers[current.encode()], prefix)
        self._changed = changed

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys.ciphers)} keys)"

    @property
    def current_id(self) -> str:
        """The id of the key that seals."""
        return self._follow().prefix[1:].decode()

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the keys that open."""
        return frozenset(key_id.decode() for key_id in self._keys.ciphers)

    def seal(self, secret: bytes, place: bytes) -> bytes:
        """Encrypt a value for one place (see `bind_place`) with the current key."""
        keys, nonce = self._follow(), os.urandom(NONCE_BYTES)
        return keys.prefix + nonce + keys.current.encrypt(nonce, secret, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Decrypt a value of that place. Raises SealError when it is of another, was changed, or its key is gone."""
        length = sealed[0] if sealed else 0
        key_id, start = sealed[1 : 1 + length], 1 + length + NONCE_BYTES
        cipher = self._keys.ciphers.get(key_id) or self._follow().ciphers.get(key_id)
        if cipher is None:
            name = key_id.decode(errors="replace")
            raise SealError(
                f"a sealed value needs key {name!r}, which is not on the key ring; add that key again"
            )
        try:
            return cipher.decrypt(sealed[1 + length : start], sealed[start:], place)
        except (InvalidTag, ValueError) as err:
            # ValueError: cut so short that not even the nonce is whole.
            name = key_id.decode()
            raise SealError(f"a value sealed by key {name!r} does not open: it was changed or moved") from err

    def is_current(self, sealed: bytes) -> bool:
        """Whether the current key sealed it; what it did not is sealed anew by a rotation."""
        return sealed.startswith(self._follow().prefix)

    def _follow(self) -> _Keys:
        """The keys as they are now. They are exchanged at once: another thread sees all of them or none."""
        fresh = self._changed() if self._changed else None
        if fresh is not None:
            keys = fresh._keys
            self._keys = _Keys({**self._keys.ciphers, **keys.ciphers}, keys.current, keys.prefix)
        return self._keys


def sealing_key(sealed: bytes) -> str:
    """The id of the key that a value was sealed by."""
    return sealed[1 : 1 + sealed[0]].decode(errors="replace") if sealed else ""


def seal_with_own_key(ring: KeyRing, secret: bytes, *, key_place: bytes, place: bytes) -> tuple[bytes, bytes]:
    """Encrypt a value under a fresh key of its own; that key, sealed by the ring, and the ciphertext.

    Destroying the sealed key destroys the value, wherever copies of the ciphertext are.
    """
    fresh = os.urandom(KEY_BYTES + NONCE_BYTES)
    key, nonce = fresh[:KEY_BYTES], fresh[KEY_BYTES:]
    return ring.seal(key, key_place), nonce + AESGCM(key).encrypt(nonce, secret, place)


def open_with_own_key(
    ring: KeyRing, sealed_key: bytes, ciphertext: bytes, *, key_place: bytes, place: bytes
) -> bytes:
    """Decrypt what `seal_with_own_key` made for these places."""
    cipher = AESGCM(ring.open(sealed_key, key_place))
    try:
        return cipher.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], place)
    except (InvalidTag, ValueError) as err:
        raise SealError("a value does not open under its own key: it was changed or moved") from err


def load_key_ring(text: str, *, changed: Callable[[], KeyRing | None] | None = None) -> KeyRing:
    """Read a key ring: a line `id:base64 of 32 bytes` for each key, the current key first.

    Empty lines and lines that begin with `#` are left out. All faults are told together. `changed` is the ring's own.
    """
    keys: dict[str, bytes] = {}
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        key_id, colon, encoded = entry.partition(":")
        if not colon:
            faults.append(f"line {number} is not 'id:key'")
            continue
        if key_id in keys:
            faults.append(f"line {number} repeats the key id {key_id!r}")
            continue
        try:
            keys[key_id] = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            faults.append(f"line {number}: the key {key_id!r} is not base64")
    if not keys and not faults:
        faults.append("it holds no key")
    if faults:
        raise KeyRingError(f"the key ring cannot be used: {'; '.join(faults)}")
    return KeyRing(keys, next(iter(keys)), changed=changed)


def make_key_ring_text(key_id: str) -> str:
    """Make the text of a ring with one fresh key, for `load_key_ring`."""
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}\n"
