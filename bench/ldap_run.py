"""A first run of a server, and the same again in a process of its own.

Usage: python -m bench.ldap_run URL PORT PAGE.
"""

import json
import sys
import time
from pathlib import Path

from bench.core_import import rows_of
from bench.figures import in_own_process, memory_mb
from bench.place import open_place
from tests.seed import GROUPS, PEOPLE
from tests.slapd import account


def main(url: str, port: str, page: str) -> None:
    settings: dict[str, str | int | bool] = {
        "servers": f"127.0.0.1:{port}",
        "tls": "plain",
        "bind_dn": account("reader"),
        "password_name": "bench",
        "user_bases": PEOPLE,
        "group_bases": GROUPS,
        "dialect": "openldap",
        "page_size": int(page),
    }
    with open_place(url, Path(), is_new=True) as place:
        place.set_up_directory("ldap", settings, rules=40)
        start = time.perf_counter()
        first = place.run()
        imported = time.perf_counter() - start
        assert first.state == "completed", first
        before = rows_of(place)
    told = in_own_process("bench.ldap_run", url)
    with open_place(url, Path()) as place:
        after = rows_of(place)
    written = sum(len(after[table] - before[table]) for table in after)
    print(json.dumps({"first_seconds": imported, "again_rows": written, **told}))


def again(url: str) -> None:
    with open_place(url, Path()) as place:
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
    (main if len(sys.argv) > 2 else again)(*sys.argv[1:])
