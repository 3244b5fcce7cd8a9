"""Streams the entries of an LDIF export. Knows the file's form and nothing of what an entry means.

Content records only. A record that cannot be read is rejected alone, with its line and reason, and the stream
goes on; a record that asks for a change, or a value that names a URL, ends the reading: the file is not an
export. A file carries no result code, so the reader also says how the file ended (`LDIFReading.truncation`),
and what the exporting tool left in comments: the paging cookie and the references it did not follow.
Source: RFC 2849.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from sync.entries import Attributes, RawEntry, RejectedEntry
from sync.errors import LDIFError

_CHUNK: Final = 1 << 20
# More distinct names than any schema has; a file of made-up names must not fill the memory.
_NAMES_KEPT: Final = 4096
_SALVAGED_BYTES: Final = 64 * 1024
_REFERENCES_KEPT: Final = 100
# `=` and `*` stand in the range option of Active Directory, the underscore in names that servers let pass.
_ATTRIBUTE_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]*(?:;[A-Za-z0-9._=*-]+)*")
_COOKIE: Final = b"# pagedresults: cookie="
_REFERENCE: Final = b"# refldap"
# The head of what ldapsearch writes without -L; a result stands at the end of it.
_EXTENDED: Final = b"# extended LDIF"
_CHANGES: Final = frozenset({b"changetype", b"control"})
# ldapsearch without -L ends its output with a record of its own, and gives references as records.
_TRAILER: Final = frozenset({b"search", b"result", b"ref"})
_NOT_ATTRIBUTES: Final = frozenset({"dn", "changetype", "control"})
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class Readable(Protocol):
    """A stream of bytes, empty at its end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class LDIFLimits:
    """What one entry, one value and the whole file may take, in bytes as they stand in the file."""

    entry_bytes: int = 16 << 20
    value_bytes: int = 1 << 20
    values: int = 1 << 20
    file_bytes: int = 16 << 30


class _Names:
    """Attribute names as they stand in the file, with the key of each; an empty key for one that nobody asked for."""

    def __init__(self, wanted: frozenset[str] | None) -> None:
        self.plain: dict[bytes, str] = {}
        self.coded: dict[bytes, str] = {}
        """The same names with the second colon that marks base64."""
        self._wanted = wanted

    def learn(self, raw: bytes) -> str | None:
        """The key of a name, or None when it is no attribute name."""
        if (known := self.plain.get(raw)) is not None:
            return known
        if not _ATTRIBUTE_NAME.fullmatch(raw):
            return None
        key = raw.decode("ascii").lower()
        if self._wanted is not None and key.partition(";")[0] not in self._wanted:
            key = ""
        if len(self.plain) < _NAMES_KEPT and key not in _NOT_ATTRIBUTES:
            self.plain[raw] = key
            self.coded[raw + b":"] = key
        return key


class LDIFReading:
    """One pass over a stream. Iterate once; what the file said about itself is known afterwards."""

    def __init__(self, stream: Readable, *, limits: LDIFLimits, wanted: frozenset[str] | None = None) -> None:
        self.truncation: str | None = None
        """Why the file looks like the first part of an export, if it does. An unterminated entry says so itself."""
        self.references: list[str] = []
        """The first hundred references that the exporting tool noted and did not follow."""
        self._stream = stream
        self._limits = limits
        self._names = _Names(wanted)
        self._line = 1
        self._has_entries = False
        self._cookie = b""
        self._awaits_result = False

    def __iter__(self) -> Iterator[RawEntry | RejectedEntry]:  # noqa: PLR0912 - one loop, no call per line
        # An import spends its time in this loop: no call per line, and whatever is unusual is left to
        # `_read_carefully`, which takes the record from its start.
        plain, coded, decode = self._names.plain.get, self._names.coded.get, a2b_base64
        plain_bytes = min(self._limits.value_bytes, self._limits.entry_bytes)
        for line, record, ended in self._records():
            if (
                ended
                and record.startswith(b"dn: ")
                and len(record) <= plain_bytes
                and b"\n#" not in record
                and b":  " not in record
            ):
                lines = iter((record.replace(b"\n ", b"") if b"\n " in record else record).split(b"\n"))
                dn = next(lines)[4:]
                attributes: Attributes = {}
                try:
                    for text in lines:
                        name, _, value = text.partition(b": ")
                        if not value:
                            break
                        key = plain(name)
                        if key is None:
                            key = coded(name)
                            if key is None:
                                break
                            if key:
                                value = decode(value, strict_mode=True)
                        if key in attributes:
                            attributes[key].append(value)
                        elif key:
                            attributes[key] = [value]
                    else:
                        if dn and b"\0" not in dn:
                            self._has_entries = True
                            yield RawEntry(dn, attributes, line)
                            continue
                except Base64Error:
                    pass
            entry = self._read_carefully(record, line, ended=ended)
            if entry is not None:
                self._has_entries = True
                yield entry
        if self._awaits_result:
            self._cut_short("the result that ldapsearch writes at its end is missing")
        if self._cookie:
            self._cut_short(
                "the last paging cookie in it is not empty, so the export stopped between two pages"
            )

    def _records(self) -> Iterator[tuple[int, bytes, bool]]:
        """Each record with the line it begins on and whether an empty line ends it. Only the last may lack one."""
        rest, too_large = b"", False
        for chunk in self._chunks():
            records = (rest + chunk).split(b"\n\n")
            rest = records.pop()
            for padded in records:
                record = padded.lstrip(b"\n")
                self._line += len(padded) - len(record)
                if record and not too_large:
                    yield self._line, record, True
                too_large = False
                self._line += record.count(b"\n") + 2
            if len(rest) > self._limits.entry_bytes:
                # Given up at once: what follows of the entry is passed over, never collected.
                if not too_large:
                    yield self._line, rest, True
                too_large = True
                self._line += rest.count(b"\n", 0, -1)
                rest = rest[-1:]
        if too_large:
            self._cut_short("it ends inside an entry")
        elif record := rest.lstrip(b"\n"):
            self._line += len(rest) - len(record)
            yield self._line, record, False

    def _chunks(self) -> Iterator[bytes]:
        """The file in large pieces, its lines ended by LF alone."""
        held, total = b"", 0
        while chunk := self._stream.read(_CHUNK):
            piece = held + chunk
            if not total:
                if piece.startswith(_UTF16_MARKS):
                    raise LDIFError("the file is UTF-16; export it as UTF-8", line=1)
                piece = piece.removeprefix(_UTF8_MARK)
            total += len(chunk)
            if total > self._limits.file_bytes:
                message = (
                    f"the file is larger than {self._limits.file_bytes} bytes; raise the limit or export less"
                )
                raise LDIFError(message, line=self._line)
            # A CR at the end may belong to a CRLF that two pieces share.
            held = b"\r" if piece.endswith(b"\r") else b""
            if b"\r" in piece:
                piece = piece.removesuffix(b"\r").replace(b"\r\n", b"\n")
            yield piece
        yield held

    def _read_carefully(self, record: bytes, line: int, *, ended: bool) -> RawEntry | RejectedEntry | None:
        """Read any record; name the line of a fault, and keep what can be read in spite of it."""
        if len(record) > self._limits.entry_bytes:
            part = _Record(record[:_SALVAGED_BYTES].rpartition(b"\n")[0], line, self._names, self._limits)
            reason = f"the entry is larger than {self._limits.entry_bytes} bytes"
            return RejectedEntry(line, reason, part.dn, part.attributes)
        read = _Record(record, line, self._names, self._limits, first=not self._has_entries)
        self._cookie = read.cookie if read.cookie is not None else self._cookie
        self.references += read.references[: _REFERENCES_KEPT - len(self.references)]
        self._awaits_result = (self._awaits_result or read.is_extended) and read.result is None
        if read.result is not None and read.result.partition(b" ")[0] != b"0":
            shown = read.result.decode("utf-8", "replace")
            self._cut_short(f"the exporting tool ended with the result '{shown}'")
        if not read.has_entry:
            return None
        if not ended:
            return self._read_last(read, whole_lines=record.endswith(b"\n"))
        if read.fault is not None:
            return RejectedEntry(*read.fault, read.dn, read.attributes)
        return RawEntry(read.dn, read.attributes, read.line)

    def _read_last(self, read: "_Record", *, whole_lines: bool) -> RejectedEntry:
        # The rest of the attributes may be missing, so the entry is not taken at its word: a disabled account
        # whose lock comes last would look active.
        reason = "the file ends inside this entry"
        if whole_lines:
            reason = "no empty line follows the last entry; add one if the export is whole"
        else:
            self._cut_short(reason)
        line = read.line
        if read.fault is not None:
            line, reason = read.fault[0], f"{reason}, and {read.fault[1]}"
        return RejectedEntry(line, reason, read.dn, read.attributes, whole_lines and read.fault is None)

    def _cut_short(self, why: str) -> None:
        self.truncation = self.truncation or f"the file may be only the first part of an export: {why}"


def read_ldif(
    stream: Readable, *, limits: LDIFLimits | None = None, wanted: frozenset[str] | None = None
) -> LDIFReading:
    """Read the content records of a stream, one by one and never all at once.

    `wanted` names the attributes to decode, in lower case and without options; None stands for all. The
    memory taken is that of the largest entry.

    Raises: LDIFError while iterating, with the line, for a change record, a URL value, or another kind of
    file.
    """
    return LDIFReading(stream, limits=limits or LDIFLimits(), wanted=wanted)


class _Record:
    """One record read line by line: slower than the loop in `LDIFReading`, and knows what is wrong and where."""

    def __init__(
        self, record: bytes, line: int, names: _Names, limits: LDIFLimits, *, first: bool = False
    ) -> None:
        self.line = line
        self.dn = b""
        self.attributes: Attributes = {}
        self.fault: tuple[int, str] | None = None
        """The first fault: its line and the reason."""
        self.has_entry = False
        """Whether the record holds more than comments, the version and what an exporting tool says at its end."""
        self.cookie: bytes | None = None
        self.references: list[str] = []
        self.result: bytes | None = None
        self.is_extended = False
        self._names = names
        self._limits = limits
        self._values = 0
        self._read(record, first=first)

    def _read(self, record: bytes, *, first: bool) -> None:
        is_trailer = False
        for number, text in _logical_lines(record, self.line):
            if text.startswith(b"#"):
                self._read_comment(text)
                continue
            name, colon, rest = text.partition(b":")
            key = name.lower()
            if not self.has_entry:
                if first and key == b"version":
                    self._check_version(number, rest)
                    continue
                if is_trailer or key in _TRAILER:
                    is_trailer = True
                    self._read_trailer(key, rest)
                    continue
                self.has_entry = True
                self.line = number
            if self.dn and key == b"dn":
                # Whose attributes they are cannot be told apart any more, and none may identify the entry.
                self.attributes.clear()
                self._fail(number, "a second dn: an empty line is missing before it")
                break
            if self._values > self._limits.values:
                self._fail(number, f"the entry has more than {self._limits.values} values")
                break
            self._read_line(number, name, colon, rest)

    def _check_version(self, number: int, rest: bytes) -> None:
        if rest.strip() != b"1":
            raise LDIFError("only version 1 of LDIF is known; export as version 1", line=number)

    def _read_comment(self, text: bytes) -> None:
        if text.startswith(_COOKIE):
            self.cookie = text[len(_COOKIE) :].strip()
        elif text.startswith(_REFERENCE):
            self.references.append(text[1:].strip().decode("utf-8", "replace"))
        elif text.startswith(_EXTENDED):
            self.is_extended = True

    def _read_trailer(self, key: bytes, rest: bytes) -> None:
        if key == b"result":
            self.result = rest.strip()
        elif key == b"ref":
            self.references.append(rest.strip().decode("utf-8", "replace"))

    def _read_line(self, number: int, name: bytes, colon: bytes, rest: bytes) -> None:
        key = name.lower()
        if key in _CHANGES:
            message = f"'{key.decode()}' makes this a record of changes; export the entries themselves"
            raise LDIFError(message, line=number)
        if not colon:
            self._fail(number, "a line without a colon")
            return
        if rest.startswith(b"<"):
            message = "a value given as a URL is never fetched; export the value itself"
            raise LDIFError(message, line=number)
        attribute = None if key == b"dn" else self._names.learn(name)
        if attribute == "":
            return
        if not (self.dn or key == b"dn" or self.fault):
            self._fail(number, "the entry does not begin with its dn")
        if attribute is None and key != b"dn":
            self._fail(number, "what stands before the colon is no attribute name")
            return
        value = self._read_value(number, rest)
        if value is None:
            return
        self._values += 1
        if attribute is not None:
            self.attributes.setdefault(attribute, []).append(value)
        elif b"\0" in value:
            self._fail(number, "the dn holds a NUL byte")
        else:
            self.dn = value

    def _read_value(self, number: int, rest: bytes) -> bytes | None:
        value: bytes | None = rest.lstrip(b" ")
        if rest.startswith(b":"):
            try:
                value = a2b_base64(rest[1:].strip(b" "), strict_mode=True)
            except Base64Error:
                self._fail(number, "the value is not base64")
                return None
        if len(rest) > self._limits.value_bytes:
            self._fail(number, f"the value is larger than {self._limits.value_bytes} bytes")
            return None
        return value

    def _fail(self, number: int, reason: str) -> None:
        self.fault = self.fault or (number, reason)


def _logical_lines(record: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """Unfolded lines, each with the number of its first one, never all at once. Source: RFC 2849 note 2."""
    parts: list[bytes] = []
    begun = number = line
    start, end = 0, len(record.removesuffix(b"\n"))
    while start <= end:
        stop = record.find(b"\n", start, end)
        text = record[start : end if stop < 0 else stop]
        if parts and text.startswith(b" "):
            parts.append(text[1:])
        else:
            if parts:
                yield begun, b"".join(parts)
            parts, begun = [text], number
        start += len(text) + 1
        number += 1
    yield begun, b"".join(parts)
