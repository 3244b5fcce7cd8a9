"""One first import and the same again, in a process of its own, so that its memory is its own.

Usage: python -m bench.core_import URL EXPORTS FILE. Prints one JSON object.
"""

import json
import resource
import sys
import time
from pathlib import Path

from sqlalchemy import Connection, select

from bench.place import Place, open_place
from storage.tables import metadata

RULES = 40


def main(url: str, exports: str, file: str) -> None:
    with open_place(url, Path(exports), is_new=True) as place:
        place.set_up(file, rules=RULES)
        start = time.perf_counter()
        first = place.run()
        imported = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        assert first.state == "completed", first
        before = rows_of(place)
        start = time.perf_counter()
        again = place.run()
        repeated = time.perf_counter() - start
        assert again.plan_hash == "", again
        after = rows_of(place)
    written = sum(len(after[table] ^ before[table]) for table in after)
    updated = sum(len(before[table] - after[table]) for table in after)
    # An updated row counts once: it stands in the difference as it was and as it is.
    print(
        json.dumps(
            {
                "first_seconds": imported,
                "first_peak_mb": peak,
                "again_seconds": repeated,
                "again_rows": written - updated,
                "counters": dict(first.counters),
            }
        )
    )


def rows_of(place: Place) -> dict[str, set[int]]:
    """Every row of every table, as a hash."""

    def read(connection: Connection) -> dict[str, set[int]]:
        return {
            table.name: {hash(repr(tuple(row))) for row in connection.execute(select(table))}
            for table in metadata.sorted_tables
        }

    with place.wiring.database.read() as connection:
        return read(connection)


if __name__ == "__main__":
    main(*sys.argv[1:])
