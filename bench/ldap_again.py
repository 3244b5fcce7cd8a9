"""A run that finds nothing changed, in a process that holds what the service holds and no more.

Usage: python -m bench.ldap_again URL PASSWORD.
"""

import json
import sys
import time
from pathlib import Path

from bench.figures import memory_mb
from bench.place import open_place


def main(url: str, password: str) -> None:
    with open_place(url, Path()) as place:
        place.password = password
        cpu, start = time.process_time(), time.perf_counter()
        record = place.run()
        told = {
            "again_seconds": time.perf_counter() - start,
            "again_cpu": time.process_time() - cpu,
            "again_peak_mb": memory_mb(),
        }
    assert (record.state, record.plan_hash) == ("completed", ""), record
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
