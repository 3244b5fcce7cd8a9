"""A first run of a server, the same again in full, and again by what the server says has changed.

Usage: python -m bench.ldap_run URL PORT PAGE.
"""

import json
import sys
import time
from pathlib import Path

from bench.core_import import rows_of
from bench.figures import in_own_process
from bench.place import open_place
from directory.changes import PutDirectory
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
        "incremental": "off",
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
        assert place.directory_id is not None
        place.do(PutDirectory(place.directory_id, "ldap", "bench", {**settings, "incremental": "auto"}))
        place.password = PASSWORD
        begun = place.run()
        assert begun.state == "completed", begun
    idle = in_own_process("bench.ldap_again", url, PASSWORD)["again_seconds"]
    written = sum(len(after[table] - before[table]) for table in after)
    print(json.dumps({"first_seconds": imported, "again_rows": written, "idle_seconds": idle, **told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
