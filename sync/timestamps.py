"""Changes by modifyTimestamp: for any server that shows it.

The mark comes from the server's own data, never from a clock of ours, and is asked for again with all that is up
to `overlap_seconds` older: what comes twice has the same fingerprint. What was deleted cannot be seen this way, and
waits for the next full reading.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from sync.changes import MOST_ENTRIES, Changes, Mark
from sync.entries import RawEntry, RejectedEntry
from sync.errors import DoubtError
from sync.ldap_reader import LDAPSession
from sync.ldap_settings import LDAPSettings
from sync.ldap_source import LDAPSource
from sync.outcome import Complete

STAMP: Final = "modifytimestamp"
_MARK: Final = "stamp"
# Source: RFC 4517 section 3.3.13, of which servers use the form in seconds and universal time for this attribute.
_TIME: Final = re.compile(rb"([0-9]{14})(?:[.,][0-9]+)?Z")


class Timestamps:
    """The method. `clock` only measures how long a reading took."""

    name = "timestamps"
    stamps = frozenset({STAMP})

    def __init__(
        self, settings: LDAPSettings, *, overlap_seconds: int, clock: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._overlap = timedelta(seconds=overlap_seconds)
        self._clock = clock

    def begin(self, session: LDAPSession) -> Mark:  # noqa: ARG002 - whether the server shows stamps is seen later
        return {}

    def read(self, session: LDAPSession, mark: Mark, wanted: frozenset[str], known: int) -> Changes:  # noqa: ARG002
        before, begun_at = _moment(mark.get(_MARK, "").encode()), self._clock()
        if before is None:
            raise DoubtError("the server shows no modifyTimestamp")
        since = f"{before - self._overlap:%Y%m%d%H%M%SZ}"
        searches = tuple(
            replace(search, filter=f"(&{search.filter}(modifyTimestamp>={since}))")
            for search in self._settings.searches
        )
        source = LDAPSource(replace(self._settings, searches=searches), "")
        highest, entries = Highest(), []
        for item in highest.watch(source.entries_of(session, wanted | self.stamps)):
            entries.append(item)
            if len(entries) > MOST_ENTRIES:
                raise DoubtError(f"more than {MOST_ENTRIES} entries have changed")
        if not isinstance(source.outcome, Complete) or source.reference_count:
            raise DoubtError("the changes could not be read to their end")
        if highest.moment is None or highest.moment < before:
            # The entry that made the mark must come again, unless it was deleted, or changed by a clock set back.
            raise DoubtError(
                "the newest entry of the last reading is gone, or the server's clock was set back"
            )
        return Changes(end_mark(highest, self._clock() - begun_at, at_least=before), entries)


class Highest:
    """The newest stamp of the entries that pass."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def watch(self, items: Iterable[RawEntry | RejectedEntry]) -> Iterator[RawEntry | RejectedEntry]:
        newest = b""
        for item in items:
            values = item.attributes.pop(STAMP, None)
            if values and values[0] > newest and _TIME.fullmatch(values[0]):
                newest = values[0]
                self.moment = _moment(newest)
            yield item


def end_mark(highest: Highest, elapsed: timedelta, *, at_least: datetime | None = None) -> dict[str, str]:
    """The mark behind a reading that took so long: what was edited early in it may have been read before that."""
    if highest.moment is None:
        return {}
    moment = highest.moment - max(elapsed, timedelta())
    if at_least is not None:
        moment = max(moment, at_least)
    return {_MARK: f"{moment:%Y%m%d%H%M%SZ}"}


def _moment(raw: bytes) -> datetime | None:
    match = _TIME.fullmatch(raw)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1].decode("ascii"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
