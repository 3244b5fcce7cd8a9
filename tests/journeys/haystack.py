"""Where secrets and clear names may not be: all that a test can see is searched for words that stand out.

A word is looked for as it is, and in what programs make of it: base64 at any offset, hexadecimal, percent-encoded.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import inspect, text

from storage.engine import Database

LOG_TABLES = ("audit_", "log_", "outbox", "stream")
"""What the tables of the log and of its streams begin with. Clear names stand sealed in `audit_pii`, nowhere else."""

# So long that eight letters are left of its base64, wherever it begins.
_SHORTEST = 9


@dataclass(slots=True)
class Haystack:
    """What was seen so far, by where. `folder` holds the service's data, and `keys` in it are secret themselves."""

    database: Database
    folder: Path
    keys: frozenset[Path] = frozenset()
    seen: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, where: str, content: str | bytes) -> None:
        """Search this, too."""
        self.seen.append((where, content.encode("utf-8", "replace") if isinstance(content, str) else content))

    def find(
        self,
        needles: Mapping[str, str],
        *,
        is_meant: Callable[[str], bool] = lambda _where: True,
        may_hold: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        """The names of needles with the places where they are. `may_hold`: names and places that are no fault."""
        forms = {name: tuple(set(_forms(needle))) for name, needle in needles.items()}
        found = {
            (name, where)
            for where, content in self._all()
            if is_meant(where)
            for name, words in forms.items()
            if any(word in content for word in words)
        }
        return sorted(f"{name} in {where}" for name, where in found - may_hold)

    def _all(self) -> Iterator[tuple[str, bytes]]:
        yield from self.seen
        yield from self._columns()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path not in self.keys:
                yield f"file {path.name}", path.read_bytes()

    def _columns(self) -> Iterator[tuple[str, bytes]]:
        """Every column of every table that there is, known to the metadata or not."""
        with self.database.read() as connection:
            for table in sorted(inspect(connection).get_table_names()):
                for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                    for name, value in row.items():
                        if value is not None:
                            yield f"{table}.{name}", _content(value)


def of_the_log(where: str) -> bool:
    """Whether a place is a column of the log, or something that the process told."""
    return where.startswith((*LOG_TABLES, "process log"))


def _content(value: object) -> bytes:
    match value:
        case bytes() | memoryview():
            return bytes(value)
        case str():
            return value.encode("utf-8", "surrogatepass")
        case _:
            return json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _forms(needle: str) -> Iterator[bytes]:
    assert len(needle) >= _SHORTEST, "so short a word is found by chance"
    clear = needle.encode()
    yield clear
    yield quote(needle, safe="").encode()
    yield clear.hex().encode()
    yield clear.hex().upper().encode()
    yield json.dumps(needle)[1:-1].encode()
    for before in range(3):
        # Letters that depend on what stands around the word are cut off.
        encoded = base64.b64encode(b"\0" * before + clear)
        core = encoded[(0, 2, 3)[before] : -4]
        yield core
        yield core.translate(bytes.maketrans(b"+/", b"-_"))
