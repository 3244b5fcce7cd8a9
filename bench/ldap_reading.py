"""One reading of all people in a process of its own. Usage: python -m bench.ldap_reading PORT PAGE ATTRIBUTE ..."""

import json
import sys
import time

from bench.figures import memory_mb
from sync.ldap_settings import ldap_settings
from sync.ldap_source import LDAPSource
from sync.outcome import Complete
from tests.seed import PEOPLE
from tests.slapd import PASSWORD, account


def main(port: str, page: str, *attributes: str) -> None:
    settings = ldap_settings(
        {
            "servers": f"127.0.0.1:{port}",
            "tls": "plain",
            "bind_dn": account("reader"),
            "user_bases": PEOPLE,
            "page_size": int(page),
        },
        user_filter="(objectClass=inetOrgPerson)",
        group_filter="(cn=nobody)",
    )
    source = LDAPSource(settings, PASSWORD)
    before = memory_mb("VmRSS")
    cpu, start = time.process_time(), time.perf_counter()
    entries = sum(1 for _ in source.entries(frozenset(name.lower() for name in attributes)))
    told = {
        "entries": entries,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - start,
        "growth_mb": memory_mb() - before,
    }
    assert source.outcome == Complete(), source.outcome
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
