"""Whether who is absent from a reading is gone, by the server that was read.

A second server may lag behind the first, and lack people and memberships that the first has shown already. So
absences count only on the server that the last complete reading came from. After a failover they are in doubt until
that server is read again, or until so many further complete readings of the new one as the setting
`absence_grace_runs` says: replication has caught up by then, or the first server is gone for good.
Source: docs/decisions/0015-increments.md
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from provisioning.state import Cursor, StoredDirectory

_DEFAULT_GRACE_RUNS: Final = 1
_SERVER: Final = "server"


def absence_grace_runs(settings: Mapping[str, str | int | bool]) -> int:
    """In how many complete readings somebody must be absent to be gone."""
    return int(settings.get("absence_grace_runs", _DEFAULT_GRACE_RUNS))


class Failover:
    """The servers of one run. `note` is told which one is read, before its first entry."""

    def __init__(self, directory: StoredDirectory) -> None:
        self._before = directory.cursor or Cursor()
        self._grace = absence_grace_runs(directory.settings)
        self._server = ""
        self._doubted_runs = 0

    def note(self, server: str) -> None:
        """`server` is being read; once more from its first entry where an earlier attempt broke off."""
        before = self._before
        self._server, self._doubted_runs = server, 0
        if before.server in {"", server}:
            return
        # A third server begins anew: nothing is known of how far it lags.
        doubted = before.doubted_runs if before.binding.get(_SERVER) == server else 0
        self._doubted_runs = doubted + 1 if doubted < self._grace else 0

    @property
    def doubt(self) -> str:
        """Why nobody may be removed for being absent; empty when absences count."""
        if not self._doubted_runs:
            return ""
        further = self._grace - self._doubted_runs + 1
        runs = "one more complete reading" if further == 1 else f"{further} more complete readings"
        return (
            f"read from {self._server} instead of {self._before.server}, behind which it may lag: "
            f"who or what is missing there is kept, until {self._before.server} is read again or for {runs}"
        )

    def cursor_after(self, cursor: Cursor) -> Cursor:
        """The cursor of a full reading, with the server whose absences count in the next one.

        While they are in doubt the next reading is full, so that the doubt ends.
        """
        if not self._doubted_runs:
            return replace(cursor, server=self._server, doubted_runs=0)
        return replace(
            cursor,
            server=self._before.server,
            doubted_runs=self._doubted_runs,
            full_due=cursor.full_due or f"what was missing on {self._server} is still in doubt",
        )
