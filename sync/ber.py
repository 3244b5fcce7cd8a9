"""Reads the messages of an LDAP server from their bytes. Pure: no socket, no library, no recursion.

Everything here has been sent by somebody else, so each length is checked against the one around it, and whatever
does not fit is one error, `BERError`, which never takes more memory than the message itself. An entry is read in one
flat walk, for its shape is fixed: reading a directory spends its time there.
Source: RFC 4511 sections 4.1 and 5.1; X.690 section 8.1.
"""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sync.entries import Attributes
from sync.errors import BERError

SEARCH_ENTRY: Final = 0x64
SEARCH_DONE: Final = 0x65
SEARCH_REFERENCE: Final = 0x73
BIND_ANSWER: Final = 0x61
EXTENDED_ANSWER: Final = 0x78
INTERMEDIATE: Final = 0x79

_BOOLEAN: Final = 0x01
_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_ENUMERATED: Final = 0x0A
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_REFERRALS: Final = 0xA3
_NAME: Final = 0x8A
_VALUE: Final = 0x8B
_CONTROLS: Final = 0xA0

SYNC_INFO: Final = b"1.3.6.1.4.1.4203.1.9.1.4"
NEW_COOKIE: Final = 0x80
REFRESH_DELETE: Final = 0xA1
REFRESH_PRESENT: Final = 0xA2
ENTRY_ID_SET: Final = 0xA3
PRESENT, ADD, MODIFY, DELETE = range(4)
_INTERMEDIATE_NAME: Final = 0x80
_INTERMEDIATE_VALUE: Final = 0x81
_REFRESH_ONLY: Final = b"\x01"
_ENTRY_ID_BYTES: Final = 16

_HEADER_BYTES: Final = 6
_LONGEST_INTEGER: Final = 8
_REFERRALS_KEPT: Final = 20
_CONTROLS_READ: Final = 50
# More distinct names than any schema has; a server that makes names up must not fill the memory.
_NAMES_KEPT: Final = 4096
_ATTRIBUTE_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]*(?:;[A-Za-z0-9._=*-]+)*")


@dataclass(frozen=True, slots=True)
class BERLimits:
    """What one message, one value and one entry may take."""

    message_bytes: int = 64 << 20
    value_bytes: int = 1 << 20
    values: int = 1 << 20


class MessageCutter:
    """Cuts whole messages out of a stream, however it was cut into pieces. Keeps no more than the message begun."""

    def __init__(self, message_bytes: int) -> None:
        self._message_bytes = message_bytes
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a further message has come."""
        return not self._held

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece of the stream; the messages that it completes.

        Raises: BERError for what is no message, has no definite length, or declares one above the limit. It does so
        as soon as the length is known, so that nothing is collected for it.
        """
        self._parts.append(piece)
        self._held += len(piece)
        if self._held < self._needed:
            # A message of many megabytes comes in thousands of pieces; joining at each would copy it as often.
            return []
        stream = b"".join(self._parts) if len(self._parts) > 1 else piece
        messages, at, end = [], 0, len(stream)
        needed = 2
        while end - at >= 2:
            if stream[at] != _SEQUENCE:
                raise BERError("what the server sent is no LDAP message")
            size = stream[at + 1]
            stop = at + 2 + size
            if size > 0x7F:
                count = size & 0x7F
                if not 0 < count <= 4:
                    raise BERError("a message of the server has no usable length")
                if end - at < 2 + count:
                    needed = 2 + count
                    break
                size = int.from_bytes(stream[at + 2 : at + 2 + count], "big")
                stop = at + 2 + count + size
            if size > self._message_bytes:
                raise BERError(
                    f"a message of {size} bytes is larger than the limit of {self._message_bytes}; "
                    "raise message_bytes if an entry of the directory is that large"
                )
            if stop > end:
                needed = stop - at
                break
            messages.append(stream[at:stop])
            at = stop
        rest = stream[at:]
        self._parts = [rest] if rest else []
        self._held, self._needed = len(rest), needed
        return messages


class Head(NamedTuple):
    """Whose answer a message is, of which kind, and where its content stands."""

    message_id: int
    kind: int
    start: int
    stop: int


def read_head(message: bytes) -> Head:
    """Read the head of one whole message, as `MessageCutter` gives it."""
    try:
        end = len(message)
        at = 2 if message[1] < 0x80 else 2 + (message[1] & 0x7F)
        if message[at] != _INTEGER or message[at + 1] > 4:
            raise BERError("a message of the server does not begin with its number")
        id_stop = at + 2 + message[at + 1]
        message_id = int.from_bytes(message[at + 2 : id_stop], "big", signed=True)
        kind = message[id_stop]
        size, start = message[id_stop + 1], id_stop + 2
        if size > 0x7F:
            size, start = _long_size(message, id_stop + 1)
        if start + size > end:
            raise BERError("a message of the server ends inside its content")
    except IndexError:
        raise BERError("a message of the server ends inside its head") from None
    return Head(message_id, kind, start, start + size)


class AttributeNames:
    """Attribute names as the server writes them, each with its key, so that equal names are one text in memory."""

    def __init__(self) -> None:
        self.known: dict[bytes, str] = {}
        self.has_ranges = False
        """Whether a name with a range option was seen, as in `member;range=0-1499`."""

    def learn(self, raw: bytes) -> str:
        """The key of a name that is not `known`. Raises BERError when it is no attribute name."""
        if not _ATTRIBUTE_NAME.fullmatch(raw):
            raise BERError("an entry has a value under what is no attribute name")
        key = raw.decode("ascii").lower()
        self.has_ranges = self.has_ranges or ";range=" in key
        if len(self.known) < _NAMES_KEPT:
            self.known[raw] = key
        return key


class EntryRead(NamedTuple):
    """An entry; `fault` says why it cannot be taken over, and then the attributes are those that could be read."""

    dn: bytes
    attributes: Attributes
    fault: str | None


def read_entry(  # noqa: PLR0912, PLR0915 - one loop, no call per value
    message: bytes, start: int, stop: int, names: AttributeNames, limits: BERLimits
) -> EntryRead:
    """Read a SearchResultEntry whose content stands from `start` to `stop`. Never raises for what the bytes hold."""
    # Indices that run over the end of one part into the next are found by comparing ends; over the end of the
    # message, by IndexError.
    dn = b""
    attributes: Attributes = {}
    fault: str | None = None
    known, value_bytes, values_left = names.known.get, limits.value_bytes, limits.values
    try:
        size, at = message[start + 1], start + 2
        if size > 0x7F:
            size, at = _long_size(message, start + 1)
        end = at + size
        if message[start] != _OCTETS or end > stop:
            raise BERError("an entry does not begin with its dn")
        dn = message[at:end]
        size, at = message[end + 1], end + 2
        if size > 0x7F:
            size, at = _long_size(message, end + 1)
        if message[end] != _SEQUENCE or at + size != stop:
            raise BERError("an entry has no list of attributes")
        while at < stop:
            if message[at] != _SEQUENCE:
                raise BERError("an attribute of an entry is no pair of type and values")
            size = message[at + 1]
            # Most attributes are of this one form: a known name, one value, nothing longer than 127 bytes.
            attribute_stop, value_at = at + 2 + size, at + 8 + message[at + 3]
            if (
                size < 0x80
                and value_at <= attribute_stop <= stop
                and message[value_at - 1] == attribute_stop - value_at
                and message[value_at - 2] == _OCTETS
                and message[value_at - 3] == attribute_stop - value_at + 2
                and message[value_at - 4] == _SET
                and message[at + 2] == _OCTETS
            ):
                name = known(message[at + 4 : value_at - 4])
                if name and name not in attributes and values_left:
                    attributes[name] = [message[value_at:attribute_stop]]
                    values_left -= 1
                    at = attribute_stop
                    continue
            at += 2
            if size > 0x7F:
                size, at = _long_size(message, at - 1)
            attribute_stop = at + size
            if attribute_stop > stop:
                raise BERError("an attribute reaches beyond its entry")
            size, end = message[at + 1], at + 2
            if size > 0x7F:
                size, end = _long_size(message, at + 1)
            if message[at] != _OCTETS or end + size > attribute_stop:
                raise BERError("an attribute of an entry has no type")
            raw = message[end : end + size]
            name = known(raw) or names.learn(raw)
            end += size
            size, at = message[end + 1], end + 2
            if size > 0x7F:
                size, at = _long_size(message, end + 1)
            if message[end] != _SET or at + size != attribute_stop:
                raise BERError("an attribute of an entry has no set of values")
            values: list[bytes] = []
            # A value takes two bytes at least, so that most sets need no counting.
            is_counted = size > 2 * values_left
            while at < attribute_stop:
                if message[at] != _OCTETS:
                    raise BERError("a value of an entry is no string of bytes")
                size, at = message[at + 1], at + 2
                if size > 0x7F:
                    size, at = _long_size(message, at - 1)
                    if size > value_bytes:
                        fault = fault or f"a value of {name} is larger than {value_bytes} bytes"
                        at += size
                        continue
                end = at + size
                values.append(message[at:end])
                at = end
                if is_counted and len(values) > values_left:
                    raise BERError(f"the entry has more than {limits.values} values")
            if at != attribute_stop:
                raise BERError("a value reaches beyond its attribute")
            values_left -= len(values) or 1
            if name in attributes:
                attributes[name].extend(values)
            elif values:
                attributes[name] = values
            if values_left < 0:
                raise BERError(f"the entry has more than {limits.values} values")
    except BERError as err:
        fault = str(err)
    except IndexError:
        fault = "an entry ends inside its content"
    return EntryRead(dn, attributes, fault)


@dataclass(frozen=True, slots=True)
class Result:
    """What ends an operation. `controls` maps object identifiers to values, `name` and `value` are an extension's."""

    code: int
    matched_dn: str
    text: str
    referrals: tuple[str, ...] = ()
    controls: dict[str, bytes] = field(default_factory=dict)
    name: str = ""
    value: bytes = b""


def read_result(message: bytes, head: Head) -> Result:
    """Read the LDAPResult of any answer that has one. Source: RFC 4511 section 4.1.9.

    Raises: BERError.
    """
    try:
        at, stop = head.start, head.stop
        kind, code, at = _part(message, at, stop)
        dn_kind, matched, at = _part(message, at, stop)
        text_kind, text, at = _part(message, at, stop)
        if (kind, dn_kind, text_kind) != (_ENUMERATED, _OCTETS, _OCTETS) or not 0 < len(code) <= 4:
            raise BERError("an answer of the server holds no result")
        referrals: tuple[str, ...] = ()
        name = value = b""
        while at < stop:
            kind, content, at = _part(message, at, stop)
            if kind == _REFERRALS:
                referrals = tuple(_texts(content, _REFERRALS_KEPT))
            elif kind == _NAME:
                name = content
            elif kind == _VALUE:
                value = content
        return Result(
            int.from_bytes(code, "big", signed=True),
            _text(matched),
            _text(text),
            referrals,
            _read_controls(message, stop),
            _text(name),
            value,
        )
    except IndexError:
        raise BERError("an answer of the server ends inside its result") from None


def read_reference(message: bytes, head: Head) -> tuple[str, ...]:
    """The URIs of a SearchResultReference, the first twenty at most. Raises: BERError."""
    try:
        return tuple(_texts(message[head.start : head.stop], _REFERRALS_KEPT))
    except IndexError:
        raise BERError("a reference of the server ends inside itself") from None


def read_paging_cookie(value: bytes) -> bytes:
    """The cookie in the value of a paging control. Source: RFC 2696 section 2. Raises: BERError."""
    try:
        kind, content, end = _part(value, 0, len(value))
        size_kind, _, at = _part(content, 0, len(content))
        cookie_kind, cookie, at = _part(content, at, len(content))
    except IndexError:
        raise BERError("the paging control of the server ends inside itself") from None
    shape = (kind, size_kind, cookie_kind, end, at)
    if shape != (_SEQUENCE, _INTEGER, _OCTETS, len(value), len(content)):
        raise BERError("the paging control of the server is malformed")
    return cookie


def read_entry_controls(message: bytes, head: Head) -> dict[str, bytes]:
    """The controls behind an entry. Raises: BERError."""
    try:
        return _read_controls(message, head.stop)
    except IndexError:
        raise BERError("an entry ends inside its controls") from None


class SyncState(NamedTuple):
    """What an entry of a content synchronisation is: `state` is one of `PRESENT`, `ADD`, `MODIFY`, `DELETE`."""

    state: int
    entry_id: bytes


class SyncInfo(NamedTuple):
    """A message of a content synchronisation that is no entry; `kind` is one of the four tags of its choice."""

    kind: int
    cookie: bytes = b""
    refresh_deletes: bool = False
    entry_ids: tuple[bytes, ...] = ()


class SyncDone(NamedTuple):
    """The end of a content synchronisation."""

    cookie: bytes
    refresh_deletes: bool


def read_sync_state(value: bytes) -> SyncState:
    """Read the value of a Sync State control. Source: RFC 4533 section 2.3. Raises: BERError."""
    parts = _sequence(value, "state")
    if len(parts) < 2 or parts[0][0] != _ENUMERATED or parts[1][0] != _OCTETS:
        raise BERError("the synchronisation state of an entry is malformed")
    entry_id = parts[1][1]
    if len(entry_id) != _ENTRY_ID_BYTES:
        raise BERError("the synchronisation state of an entry has no usable id")
    return SyncState(int.from_bytes(parts[0][1], "big"), entry_id)


def read_sync_done(value: bytes) -> SyncDone:
    """Read the value of a Sync Done control. Source: RFC 4533 section 2.4. Raises: BERError."""
    parts = dict(_sequence(value, "end"))
    return SyncDone(parts.get(_OCTETS, b""), any(parts.get(_BOOLEAN, b"")))


def read_sync_info(message: bytes, head: Head) -> SyncInfo | None:
    """Read a Sync Info message; None for an intermediate answer of another kind.

    Source: RFC 4533 section 2.5; RFC 4511 section 4.13. Raises: BERError.
    """
    parts = dict(parts_of(message[head.start : head.stop], "an intermediate answer"))
    if parts.get(_INTERMEDIATE_NAME) != SYNC_INFO:
        return None
    choices = parts_of(parts.get(_INTERMEDIATE_VALUE, b""), "a synchronisation message")
    if len(choices) != 1:
        raise BERError("a synchronisation message of the server is malformed")
    ((kind, content),) = choices
    if kind == NEW_COOKIE:
        return SyncInfo(kind, content)
    if kind not in {REFRESH_DELETE, REFRESH_PRESENT, ENTRY_ID_SET}:
        raise BERError("a synchronisation message of the server is of no known kind")
    said = dict(parts_of(content, "a synchronisation message"))
    entry_ids: tuple[bytes, ...] = ()
    if kind == ENTRY_ID_SET:
        entry_ids = tuple(one for _, one in parts_of(said.get(_SET, b""), "a set of entry ids"))
        if any(len(one) != _ENTRY_ID_BYTES for one in entry_ids):
            raise BERError("a set of entry ids holds what is none")
    # The flag of the other kinds says whether the phase is over, which is of no concern here.
    is_flagged = kind == ENTRY_ID_SET and any(said.get(_BOOLEAN, b""))
    return SyncInfo(kind, said.get(_OCTETS, b""), is_flagged, entry_ids)


def sync_request(cookie: bytes) -> bytes:
    """The value of a Sync Request control that asks once and does not wait. Source: RFC 4533 section 2.2."""
    told = encoded(_OCTETS, cookie) if cookie else b""
    return encoded(_SEQUENCE, encoded(_ENUMERATED, _REFRESH_ONLY) + told)


def encoded(tag: int, content: bytes) -> bytes:
    """A tag, the length in its shortest form, and the content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(value: bytes, what: str) -> list[tuple[int, bytes]]:
    """The parts of a SEQUENCE that is all of the value."""
    parts = parts_of(value, f"the synchronisation {what}")
    if len(parts) != 1 or parts[0][0] != _SEQUENCE:
        raise BERError(f"the synchronisation {what} of the server is malformed")
    return parts_of(parts[0][1], f"the synchronisation {what}")


def parts_of(content: bytes, what: str) -> list[tuple[int, bytes]]:
    """All tags with their contents, side by side. `what` names them in the error. Raises: BERError."""
    parts: list[tuple[int, bytes]] = []
    at = 0
    try:
        while at < len(content):
            kind, inner, at = _part(content, at, len(content))
            parts.append((kind, inner))
    except IndexError:
        raise BERError(f"{what} of the server ends inside itself") from None
    return parts


def read_policy_error(value: bytes) -> int | None:
    """The error in the value of a password policy control, None when it tells of none.

    Source: draft-behera-ldap-password-policy-11 section 6.2. Raises: BERError.
    """
    try:
        _, content, _ = _part(value, 0, len(value))
        at = 0
        while at < len(content):
            kind, inner, at = _part(content, at, len(content))
            if kind == 0x81:
                return int.from_bytes(inner[:_LONGEST_INTEGER], "big")
    except IndexError:
        raise BERError("the password policy control of the server ends inside itself") from None
    return None


def _read_controls(message: bytes, at: int) -> dict[str, bytes]:
    """The controls that stand behind the content of a message."""
    controls: dict[str, bytes] = {}
    if at == len(message):
        return controls
    kind, listed, end = _part(message, at, len(message))
    if kind != _CONTROLS or end != len(message):
        raise BERError("what stands behind the answer is no list of controls")
    at = 0
    while at < len(listed):
        if len(controls) >= _CONTROLS_READ:
            raise BERError("an answer of the server has too many controls")
        _, control, at = _part(listed, at, len(listed))
        kind, oid, inner = _part(control, 0, len(control))
        if kind != _OCTETS:
            raise BERError("a control of the server has no object identifier")
        value = b""
        while inner < len(control):
            kind, content, inner = _part(control, inner, len(control))
            if kind == _OCTETS:
                value = content
            elif kind != _BOOLEAN:
                raise BERError("a control of the server is malformed")
        controls[_text(oid)] = value
    return controls


def _texts(content: bytes, most: int) -> list[str]:
    texts: list[str] = []
    at = 0
    while at < len(content) and len(texts) < most:
        _, text, at = _part(content, at, len(content))
        texts.append(_text(text))
    return texts


def _part(content: bytes, at: int, stop: int) -> tuple[int, bytes, int]:
    """One tag with its content, and where the next one begins. Raises IndexError beyond the end of the bytes."""
    size, start = content[at + 1], at + 2
    if size > 0x7F:
        size, start = _long_size(content, at + 1)
    if start + size > stop:
        raise BERError("a part of a message reaches beyond what holds it")
    return content[at], content[start : start + size], start + size


def _long_size(content: bytes, at: int) -> tuple[int, int]:
    """A length in its long form, which begins at `at`, and where the content begins."""
    count = content[at] & 0x7F
    start = at + 1 + count
    if not 0 < count <= 4 or start > len(content):
        raise BERError("a part of a message has no usable length")
    return int.from_bytes(content[at + 1 : start], "big"), start


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
