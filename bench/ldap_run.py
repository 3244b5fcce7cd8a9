"""A first run of a server, and the same again.

Usage: python -m bench.ldap_run URL PORT PAGE.
"""

import json
import sys
import time
from pathlib import Path

from bench.core_import import rows_of
from bench.figures import in_own_process
from bench.place import open_place
from tests.seed import GROUPS, PEOPLE
from tests.slapd import PASSWORD, account


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
        place.password = PASSWORD
        place.set_up_directory("ldap", settings, rules=40)
        start = time.perf_counter()
        first = place.run()
        imported = time.perf_counter() - start
        assert first.state == "completed", first
        before = rows_of(place)
    told = in_own_process("bench.ldap_again", url, PASSWORD)
    with open_place(url, Path()) as place:
        after = rows_of(place)
    written = sum(len(after[table] - before[table]) for table in after)
    print(json.dumps({"first_seconds": imported, "again_rows": written, **told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
