#!/usr/bin/env python3
"""Verify a bundle of audit events without the service that made it, without network and without other packages.

One file for Python 3.9 and later, standard library only; read it before you trust it. It shares no code with the
service on purpose: what both compute, they compute in different ways.

    python3 verifier.py BUNDLE --key VKEY [--older CHECKPOINT] [--origin LOG] [--complete] [--openssl]

BUNDLE is a directory or a .zip. VKEY is the verifier key, or a file that holds it, which reached you on another way
than the bundle. CHECKPOINT is one that you kept from earlier. The exit code is 0 for PASSED, 1 for FAILED, 2 for a
wrong call, 3 for files that cannot be read and 4 for UNPINNED, which is not a pass.

Source: RFC 6962 section 2.1 (tree and proofs); RFC 8032 section 5.1 (Ed25519); c2sp.org/signed-note@v1.0.0;
c2sp.org/tlog-checkpoint@v1.0.0.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Protocol, cast

FORMAT = "usher-audit-bundle"
VERSION = 1
MANIFEST = "manifest.json"
EVENTS = "events.jsonl"
PROOFS = "proofs.jsonl"
CHECKPOINT = "checkpoint.txt"
OLDER = "older.jsonl"
VKEY = "vkey.txt"
NAMES = "names-unproven.jsonl"
README = "README.txt"
VERIFIER = "verifier.py"

RANGE = "range"  # Every event from one leaf up to another.
SELECTION = "selection"  # The events that a filter let through.
BLOCK = 256  # How many leaves one line of proofs proves, for a range.

COMPLETE = "PASSED complete"
COMPLETE_RANGE = "PASSED complete range"
INCLUSION = "PASSED inclusion only"
UNPINNED = "UNPINNED"
FAILED = "FAILED"
EXIT_CODES = {COMPLETE: 0, COMPLETE_RANGE: 0, INCLUSION: 0, FAILED: 1, UNPINNED: 4}
EXIT_UNREADABLE = 3

MAX_LINE = 4 << 20
MAX_FILE = 16 << 20
MAX_SIZE = 1 << 63
MAX_SIGNATURES = 100
MAX_TOLD = 10
EMPTY_ROOT = sha256(b"").digest()

# Tells whether a public key has signed a message: key, message, signature.
Verify = Callable[[bytes, bytes, bytes], bool]


class Failure(Exception):  # noqa: N818 # What is found out about a bundle is no error of this program.
    """What does not hold, and where."""


@dataclass(frozen=True)
class Manifest:
    """What the bundle says of itself. All of it is either checked or told to be unproven."""

    organisation: str
    origin: str
    size: int
    kind: str
    first: int
    end: int
    count: int
    removed: tuple[tuple[int, int], ...] = ()

    def render_removed(self) -> str:
        """Which leaves have no event any more, and how many they are."""
        ranges = ", ".join(f"{first} to {end - 1}" for first, end in self.removed[:MAX_TOLD])
        more = f" and {len(self.removed) - MAX_TOLD} more ranges" if len(self.removed) > MAX_TOLD else ""
        return f"{sum(end - first for first, end in self.removed)} events (leaves {ranges}{more})"


@dataclass(frozen=True)
class Key:
    name: str
    hash: bytes
    public: bytes
    vkey: str


@dataclass(frozen=True)
class Head:
    """A checkpoint whose signature holds."""

    origin: str
    size: int
    root: bytes
    signers: tuple[Key, ...]


@dataclass
class Report:
    """The result, why it is that, and what people should read: what was checked, what is not proven."""

    result: str = FAILED
    detail: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.result]

    def add(self, label: str, text: str) -> None:
        self.lines.append((label, text))

    def render(self) -> str:
        """One line for each finding; the last begins with the result."""
        told = [f"{label:<12} {_show(text)}" for label, text in self.lines]
        return "\n".join([*told, _show(f"{self.result}: {self.detail}")]) + "\n"


class Files(Protocol):
    """A bundle as files."""

    def names(self) -> list[str]: ...

    def open(self, name: str) -> BufferedReader: ...


class Folder:
    """A bundle in a directory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self._path.iterdir())

    def open(self, name: str) -> BufferedReader:
        return (self._path / name).open("rb")


class Archive:
    """A bundle in a .zip, which is read as it is and never unpacked."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)  # The process ends soon; so does this.

    def names(self) -> list[str]:
        names = sorted(self._archive.namelist())
        if len(set(names)) < len(names):
            # Another program might unpack the one that was not verified.
            raise Failure("a name is in the archive twice")
        return names

    def open(self, name: str) -> BufferedReader:
        return BufferedReader(cast("RawIOBase", self._archive.open(name)), 1 << 20)


def verify_bundle(
    path: Path,
    *,
    keys: Sequence[str],
    older: str = "",
    origin: str = "",
    is_complete_demanded: bool = False,
    verify: Verify | None = None,
) -> Report:
    """Verify the bundle at `path`.

    `keys` are the verifier keys that are trusted; without any the bundle's own is taken and the result is at best
    UNPINNED. `older` is a checkpoint kept from earlier, as it came, and `origin` the log that is expected.
    Raises OSError for files that cannot be read.
    """
    report = Report()
    try:
        files: Files = Folder(path) if path.is_dir() else Archive(path)
        _verify_files(
            files,
            report,
            keys=keys,
            older=older,
            origin=origin,
            is_complete_demanded=is_complete_demanded,
            verify=verify or verify_ed25519,
        )
    except Failure as failure:
        report.result, report.detail = FAILED, str(failure)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as err:
        # Of the modules that unpack and decode: a damaged archive, text that is none, nesting without end.
        report.result, report.detail = FAILED, f"the bundle is damaged ({type(err).__name__}: {err})"
    return report


def _verify_files(
    files: Files,
    report: Report,
    *,
    keys: Sequence[str],
    older: str,
    origin: str,
    is_complete_demanded: bool,
    verify: Verify,
) -> None:
    names = files.names()
    for name in (MANIFEST, EVENTS, PROOFS, CHECKPOINT, VKEY):
        if name not in names:
            raise Failure(f"{name} is missing; this is no complete bundle")
    manifest = _parse_manifest(_read_file(files, MANIFEST))
    trusted = [parse_vkey(key) for key in keys or [_read_file(files, VKEY).strip()]]
    head = open_checkpoint(_read_file(files, CHECKPOINT), trusted, verify, CHECKPOINT)
    for key in head.signers:
        report.add("key", f"{key.vkey} ({'trusted, as you gave it' if keys else 'from the bundle itself'})")
    report.add("log", head.origin)
    report.add("checkpoint", f"{head.size} events, root {base64.b64encode(head.root).decode()}")
    _check_manifest(manifest, head, origin)
    report.add("ok", "the signature of the checkpoint")
    earlier = open_checkpoint(older, trusted, verify, "your older checkpoint") if older else None
    wanted = earlier.size if earlier else -1
    with files.open(EVENTS) as events, files.open(PROOFS) as proofs:
        if manifest.kind == RANGE:
            count, passed = _verify_range(manifest, head, events, proofs, wanted)
        else:
            count, passed = _verify_selection(head, events, proofs), None
    report.add("ok", f"{count} events, each where the log has it")
    found = _verify_older(files, head, wanted) if OLDER in names else None
    if earlier is not None:
        _check_earlier(earlier, head, passed or found)
        report.add("ok", f"the log only grew since your checkpoint of {earlier.size} events")
    if count != manifest.count:
        raise Failure(f"{MANIFEST}: it tells of {manifest.count} events, there are {count}")
    _conclude(report, manifest, is_pinned=bool(keys), is_complete_demanded=is_complete_demanded)
    _tell_unproven(report, manifest, names)


def _check_manifest(manifest: Manifest, head: Head, origin: str) -> None:
    if origin not in ("", head.origin):
        raise Failure(f"{CHECKPOINT}: it is of the log {head.origin}, not of {origin}")
    if (manifest.origin, manifest.size) != (head.origin, head.size):
        raise Failure(
            f"{MANIFEST}: it is of the log {manifest.origin} at {manifest.size}, unlike the checkpoint"
        )
    if not head.origin.endswith(f"/audit/{manifest.organisation}"):
        raise Failure(f"{MANIFEST}: {manifest.organisation} is not the organisation of {head.origin}")


def _check_earlier(earlier: Head, head: Head, root: bytes | None) -> None:
    if earlier.origin != head.origin:
        raise Failure(f"your older checkpoint is of another log, {earlier.origin}")
    if earlier.size > head.size:
        raise Failure(
            f"the log has {head.size} events here and {earlier.size} in your older checkpoint: its end was cut off"
        )
    if earlier.size == head.size:
        root = head.root
    if earlier.size == 0:
        root = EMPTY_ROOT
    if root is None:
        raise Failure(
            f"nothing in the bundle leads from your checkpoint of {earlier.size} events to this one; "
            "ask for a bundle that was made with it"
        )
    if root != earlier.root:
        raise Failure(
            f"the log was rewritten: it had another root at your checkpoint of {earlier.size} events"
        )


def _conclude(report: Report, manifest: Manifest, *, is_pinned: bool, is_complete_demanded: bool) -> None:
    size, first, end = manifest.size, manifest.first, manifest.end
    if manifest.kind == SELECTION:
        report.result = INCLUSION
        report.detail = f"these {manifest.count} events are in the log; others may have been left out"
    elif (first, end, manifest.removed) == (0, size, ()):
        report.result, report.detail = COMPLETE, f"all {size} events of the log, from leaf 0 to its end"
    else:
        report.result = COMPLETE_RANGE
        report.detail = (
            f"every event of the leaves from {first} up to {end}, of {size}; "
            f"{first} before and {size - end} after them are not in this bundle"
        )
        if manifest.removed:
            report.detail += f"; {manifest.render_removed()} are gone"
    if is_complete_demanded and report.result != COMPLETE:
        raise Failure(f"not the whole log: {report.detail}")
    if not is_pinned:
        report.detail = (
            f"would be {report.result}, but by the bundle's own key: anybody can make such a bundle"
        )
        report.result = UNPINNED


def _tell_unproven(report: Report, manifest: Manifest, names: list[str]) -> None:
    if NAMES in names:
        report.add("not proven", f"{NAMES}: the clear names, as they were when the bundle was made")
    told = {MANIFEST, EVENTS, PROOFS, CHECKPOINT, OLDER, VKEY, NAMES}
    rest = [name for name in names if name not in told]
    report.add("not proven", f"{', '.join([f'the words of {MANIFEST}', *rest])}")
    if manifest.removed:
        told_gone = f"that it was the retention that removed {manifest.render_removed()}"
        report.add("not proven", f"{told_gone}; their places in the log are proven")
    if manifest.kind == SELECTION:
        report.add("not proven", "that every event that fits the filter is here")
    report.add("not proven", "that what happened was logged, truthfully, by clocks that were right")
    report.add("not proven", "that others are shown the same log: compare checkpoints with them")


# --- Events and their proofs ---------------------------------------------------------------------------------


def _verify_range(
    manifest: Manifest, head: Head, events: BufferedReader, proofs: BufferedReader, wanted: int
) -> tuple[int, bytes | None]:
    """Check that the events are the leaves from first up to end, without a gap.

    Each line of proofs holds the leaf hashes of one aligned block of the tree and proves them under the root; then
    each event must be the leaf of its place, so that the first wrong line is known whatever was forged. Leaves that
    are said to be removed are proven in the same way, and have no event. Gives the number of events and, where the
    blocks begin with leaf 0, the root that the log had at the size `wanted`.
    """
    edge = Edge()
    found: bytes | None = None
    count, place = 0, manifest.first
    gaps = iter((*manifest.removed, (manifest.end, manifest.end)))
    gap, gap_end = next(gaps)
    start = manifest.first - manifest.first % BLOCK
    is_from_start = start == 0
    for number, line in _lines(proofs, PROOFS):
        if start >= manifest.end:
            raise Failure(f"{PROOFS} line {number}: it is one too many")
        stop = min(start + BLOCK, head.size)
        leaves = _parse_block(number, line, start, stop, head)
        if is_from_start and start <= wanted < stop:
            found = edge.root(leaves[: wanted - start])
        for leaf in leaves[max(manifest.first - start, 0) : manifest.end - start]:
            if gap <= place:
                place += 1
                if place == gap_end:
                    gap, gap_end = next(gaps)
                continue
            count, place = count + 1, place + 1
            event = events.readline(MAX_LINE)
            if sha256(b"\0" + event[:-1]).digest() != leaf or event[-1:] != b"\n":
                what = "not the event that the log has" if event else "missing"
                raise Failure(f"{EVENTS} line {count}: {what} as leaf {place - 1}")
        edge.push(tree_root(leaves))
        start = stop
    if start < manifest.end:
        raise Failure(f"{PROOFS}: it ends with leaf {start - 1}, the bundle with leaf {manifest.end - 1}")
    if events.read(1):
        raise Failure(f"{EVENTS} line {count + 1}: it is one too many")
    if is_from_start and wanted == start:
        found = edge.root([])
    return count, found


def _parse_block(number: int, line: bytes, start: int, stop: int, head: Head) -> list[bytes]:
    block = _parse_object(line, f"{PROOFS} line {number}")
    joined = _decode(block.get("leaves"))
    if block.get("first") != start or joined is None or len(joined) != 32 * (stop - start):
        raise Failure(f"{PROOFS} line {number}: it does not tell the leaves from {start} up to {stop}")
    leaves = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    if climb(tree_root(leaves), start, stop, head.size, _hashes(block.get("proof"))) != head.root:
        raise Failure(f"{PROOFS} line {number}: it does not lead to the root of the checkpoint")
    return leaves


def _verify_selection(head: Head, events: BufferedReader, proofs: BufferedReader) -> int:
    """Check that each event is the leaf that its line of proofs says, in the log's order. Gives their number."""
    count, last = 0, -1
    for number, line in _lines(proofs, PROOFS):
        proof = _parse_object(line, f"{PROOFS} line {number}")
        leaf = _count(proof.get("leaf"))
        if not last < leaf < head.size:
            raise Failure(
                f"{PROOFS} line {number}: its leaf does not follow leaf {last}, or the log has no such leaf"
            )
        event = events.readline(MAX_LINE)
        node = sha256(b"\0" + event[:-1]).digest()
        if (
            climb(node, leaf, leaf + 1, head.size, _hashes(proof.get("proof"))) != head.root
            or event[-1:] != b"\n"
        ):
            what = "not proven to be" if event else "missing"
            raise Failure(f"{EVENTS} line {number}: {what} leaf {leaf} of the log")
        count, last = number, leaf
    if events.read(1):
        raise Failure(f"{EVENTS} line {count + 1}: it has no proof")
    return count


def _verify_older(files: Files, head: Head, wanted: int) -> bytes | None:
    """Check all that the bundle says of earlier sizes of the log; give the root at the size `wanted`."""
    found = None
    with files.open(OLDER) as lines:
        for number, line in _lines(lines, OLDER):
            told = _parse_object(line, f"{OLDER} line {number}")
            size, root = _count(told.get("size")), _decode(told.get("root"))
            if root is None or not 0 < size <= head.size:
                raise Failure(f"{OLDER} line {number}: no size and root of this log")
            if not is_consistent(size, head.size, root, head.root, _hashes(told.get("proof"))):
                raise Failure(f"{OLDER} line {number}: the log of {size} events did not grow into this one")
            found = root if size == wanted else found
    return found


class Edge:
    """The right edge of a tree that grows block by block. Keeps one hash for each power of two."""

    def __init__(self) -> None:
        self._count = 0
        self._peaks: list[bytes] = []

    def push(self, node: bytes) -> None:
        count = self._count
        while count & 1:
            node = join(self._peaks.pop(), node)
            count >>= 1
        self._peaks.append(node)
        self._count += 1

    def root(self, leaves: list[bytes]) -> bytes:
        """The root of all blocks and of leaves after them that do not fill another."""
        nodes = [*self._peaks, tree_root(leaves)] if leaves else self._peaks
        root = nodes[-1] if nodes else EMPTY_ROOT
        for peak in reversed(nodes[:-1]):
            root = join(peak, root)
        return root


def join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def tree_root(nodes: list[bytes]) -> bytes:
    """The root over one node or more: pairs are joined level by level, an odd one moves up as it is."""
    while len(nodes) > 1:
        odd = nodes[-1:] if len(nodes) & 1 else []
        nodes = [join(nodes[at], nodes[at + 1]) for at in range(0, len(nodes) - 1, 2)] + odd
    return nodes[0]


def climb(node: bytes, start: int, stop: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root to which `proof` leads from the subtree of the leaves `start` up to `stop`; None if to none."""
    first, last = 0, size
    is_left: list[bool] = []
    while (first, last) != (start, stop):
        middle = first + _split(last - first)
        is_left.append(stop <= middle)
        first, last = (first, middle) if stop <= middle else (middle, last)
        if not first <= start < stop <= last or last - first < stop - start:
            return None
    if len(proof) != len(is_left):
        return None
    for sibling in proof:
        node = join(node, sibling) if is_left.pop() else join(sibling, node)
    return node


def is_consistent(old_size: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether `proof` shows the older tree to be the beginning of the newer. Source: RFC 6962 section 2.1.2."""
    rest = list(reversed(proof))

    def walk(old: int, new: int, *, is_known: bool) -> tuple[bytes, bytes]:
        if old == new:
            node = old_root if is_known else rest.pop()
            return node, node
        middle = _split(new)
        if old <= middle:
            before, after = walk(old, middle, is_known=is_known)
            return before, join(after, rest.pop())
        before, after = walk(old - middle, new - middle, is_known=False)
        left = rest.pop()
        return join(left, before), join(left, after)

    try:
        return walk(old_size, size, is_known=True) == (old_root, root) and not rest
    except IndexError:
        return False


def _split(count: int) -> int:
    """The largest power of two that is smaller than `count`."""
    return 1 << ((count - 1).bit_length() - 1)


# --- Reading what anybody may have written -------------------------------------------------------------------


def _read_file(files: Files, name: str) -> str:
    with files.open(name) as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise Failure(f"{name} is too large")
    return content.decode()


def _lines(file: BufferedReader, name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while True:
        line = file.readline(MAX_LINE)
        if not line:
            return
        number += 1
        if line[-1:] != b"\n":
            raise Failure(f"{name} line {number}: it is cut off")
        yield number, line


def _parse_object(text: str | bytes, place: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Failure(f"{place}: no JSON object")
    return value


def _count(value: object) -> int:
    """A number of leaves; -1 in place of what is none."""
    return value if type(value) is int and 0 <= value < MAX_SIZE else -1


def _decode(value: object) -> bytes | None:
    """Decode base64, if it is the one way to write these bytes."""
    try:
        decoded = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        return None
    return decoded if base64.b64encode(decoded).decode() == value else None


def _hashes(value: object) -> list[bytes]:
    """The hashes of a proof; an empty one in place of what is none, which leads nowhere."""
    hashes = [_decode(one) or b"" for one in value] if isinstance(value, list) else [b""]
    return hashes if all(len(one) == 32 for one in hashes) else [b""] * 65


def _parse_manifest(text: str) -> Manifest:
    told = _parse_object(text, MANIFEST)
    if (told.get("format"), told.get("version")) != (FORMAT, VERSION):
        raise Failure(f"{MANIFEST}: not of the format {FORMAT}, version {VERSION}")
    texts = [told.get(name) for name in ("organisation", "origin", "kind")]
    organisation, origin, kind = (one if isinstance(one, str) else "" for one in texts)
    size, count = _count(told.get("size")), _count(told.get("count"))
    first, end = (_count(told.get("first")), _count(told.get("end"))) if kind == RANGE else (0, size)
    if min(size, count, first, end) < 0:
        raise Failure(f"{MANIFEST}: size, count, first and end are not all numbers")
    if kind not in (RANGE, SELECTION) or not (first < end <= size or first == end == size == 0):
        raise Failure(f"{MANIFEST}: neither a selection of events nor a range of leaves")
    return Manifest(organisation, origin, size, kind, first, end, count, _parse_removed(told, first, end))


def _parse_removed(told: dict[str, object], first: int, end: int) -> tuple[tuple[int, int], ...]:
    """The ranges of leaves whose events are gone: within the bundle, ascending, and apart from each other."""
    listed = told.get("removed", [])
    ranges = [
        (_count(one[0]), _count(one[1]))
        for one in (listed if isinstance(listed, list) else [None])
        if isinstance(one, list) and len(one) == 2
    ]
    edges = [edge for one in ranges for edge in one]
    is_whole = isinstance(listed, list) and len(ranges) == len(listed) and edges == sorted(set(edges))
    if not is_whole or (edges and not first <= edges[0] < edges[-1] <= end):
        raise Failure(f"{MANIFEST}: what was removed is not told as ranges of leaves within the bundle")
    return tuple(ranges)


def parse_vkey(vkey: str) -> Key:
    """Read a verifier key, `name+hash+base64`. Source: signed-note, section Verifier keys."""
    name, _, rest = vkey.partition("+")
    told, _, encoded = rest.partition("+")
    decoded = _decode(encoded)
    if not re.fullmatch(r"[^\s+]+", name) or decoded is None or len(decoded) != 33 or decoded[0] != 1:
        raise Failure(f"{vkey!r} is no verifier key of Ed25519")
    key = sha256(name.encode() + b"\n" + decoded).digest()[:4]
    if key.hex() != told:
        raise Failure(f"the verifier key {vkey!r} is damaged: its hash is {key.hex()}")
    return Key(name, key, decoded[1:], vkey)


def open_checkpoint(note: str, trusted: Sequence[Key], verify: Verify, place: str) -> Head:
    """Check the signatures of the trusted keys, all of which must be good, and read size and root.

    Lines of other keys, such as witnesses, are left alone. Source: signed-note, section Signatures; tlog-checkpoint.
    """
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = signatures.split("\n")
    if len(lines) > MAX_SIGNATURES or lines.pop():
        raise Failure(f"{place}: no signed note")
    signers = []
    for line in lines:
        name, _, encoded = line[2:].partition(" ")
        decoded = _decode(encoded)
        if not line.startswith("\u2014 ") or decoded is None:
            raise Failure(f"{place}: no signed note")
        for key in trusted:
            if (name, decoded[:4]) == (key.name, key.hash):
                if not verify(key.public, text.encode(), decoded[4:]):
                    raise Failure(f"{place}: the signature by {key.vkey} is wrong")
                signers.append(key)
    if not signers:
        raise Failure(f"{place}: not signed by {' or '.join(key.vkey for key in trusted)}")
    parts = text.split("\n")
    root = _decode(parts[2]) if len(parts) > 3 else None
    if root is None or len(root) != 32 or not re.fullmatch("0|[1-9][0-9]{0,17}", parts[1], re.ASCII):
        raise Failure(f"{place}: no checkpoint")
    if parts[1] == "0" and root != EMPTY_ROOT:
        raise Failure(f"{place}: a log without events has another root")
    return Head(parts[0], int(parts[1]), root, tuple(signers))


def _show(text: str) -> str:
    """What others wrote must not steer a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


# --- Ed25519. Source: RFC 8032 sections 5.1.3, 5.1.4 and 5.1.7 ---------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]  # X, Y, Z and T with x = X / Z, y = Y / Z, x * y = T / Z.


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify in Python, some milliseconds a signature. Strict: one way to write each number and point."""
    key, nonce = _read_point(public_key), _read_point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or len(signature) != 64 or scalar >= ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    left, right = _multiply(scalar, _BASE), _add(nonce, _multiply(challenge, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 == (left[1] * right[2] - right[1] * left[2]) % P


def verify_by_openssl(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify by the openssl command, version 3 or 1.1.1, for whoever would rather trust that."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise Failure("there is no openssl command on this machine; leave --openssl out")
    with tempfile.TemporaryDirectory() as folder:
        key, text, signed = (Path(folder, name) for name in ("key", "message", "signature"))
        # SubjectPublicKeyInfo of Ed25519. Source: RFC 8410 section 4.
        key.write_bytes(bytes.fromhex("302a300506032b6570032100") + public_key)
        text.write_bytes(message)
        signed.write_bytes(signature)
        command = [openssl, "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", str(key), "-rawin"]
        command += ["-in", str(text), "-sigfile", str(signed)]
        # The command is fixed; what others wrote stands in the files.
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603


def _read_point(encoded: bytes) -> Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if len(encoded) != 32 or y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _multiply(scalar: int, point: Point) -> Point:
    product: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point = _add(point, point)
        scalar >>= 1
    return product


_BASE_Y = 4 * pow(5, P - 2, P) % P
_BASE = cast("Point", _read_point(_BASE_Y.to_bytes(32, "little")))


# --- The command ---------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify as the command line says, print the report, give the exit code."""
    parser = argparse.ArgumentParser(description="Verify a bundle of audit events, offline.")
    parser.add_argument("bundle", type=Path, help="a directory or a .zip")
    parser.add_argument(
        "--key", action="append", default=[], help="a key that you trust, or a file that holds it"
    )
    parser.add_argument("--older", type=Path, help="a file with a checkpoint that you kept from earlier")
    parser.add_argument(
        "--origin", default="", help="the log that you expect, as the first line of a checkpoint"
    )
    parser.add_argument("--complete", action="store_true", help="fail unless the whole log is there")
    parser.add_argument("--openssl", action="store_true", help="check signatures by the openssl command")
    told = parser.parse_args(arguments)
    try:
        report = verify_bundle(
            told.bundle,
            keys=[Path(key).read_text("utf-8").strip() if Path(key).is_file() else key for key in told.key],
            older=told.older.read_bytes().decode() if told.older else "",
            origin=told.origin,
            is_complete_demanded=told.complete,
            verify=verify_by_openssl if told.openssl else verify_ed25519,
        )
    except (OSError, UnicodeDecodeError) as err:
        sys.stderr.write(f"{_show(str(err))}\n")
        return EXIT_UNREADABLE
    sys.stdout.write(report.render())
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
