"""The figures of reading a directory server, side by side with `ldapsearch` on the same slapd."""

import contextlib
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.figures import Figure, at_least, at_most, in_own_process
from tests.certificates import make_certificates, today
from tests.seed import PEOPLE, write_seed
from tests.slapd import PASSWORD, Slapd, account, slapd_factory

USERS = 50_000
ROUNDS = 5
ATTRIBUTES = (
    "objectClass",
    "entryUUID",
    "uid",
    "cn",
    "givenName",
    "sn",
    "mail",
    "departmentNumber",
    "title",
)
PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Taken:
    cpu: float
    wall: float


def measure() -> Iterator[Figure]:
    """Entries a second, processor time and memory of the reader; time and rows of runs."""
    with tempfile.TemporaryDirectory(prefix="usher-bench-") as folder, serve_seed(Path(folder)) as slapd:
        theirs, ours, growth = [], [], 0.0
        for _ in range(ROUNDS):
            theirs.append(_ldapsearch(slapd))
            told = in_own_process("bench.ldap_reading", str(slapd.port), str(PAGE), *ATTRIBUTES)
            assert told["entries"] == USERS, told
            ours.append(_Taken(told["cpu"], told["wall"]))
            growth = max(growth, told["growth_mb"])
        their_wall = median(one.wall for one in theirs)
        yield at_least(
            "reader: entries a second to ldapsearch's",
            their_wall / median(one.wall for one in ours),
            "x",
            0.6,
        )
        cpu = median(one.cpu for one in ours)
        yield at_most("reader: CPU of 50,000 entries", cpu, "s", 0.9)
        yield at_most("reader: CPU to ldapsearch's", cpu / median(one.cpu for one in theirs), "x", 2.9)
        yield at_most("reader: memory growth", growth, "MB", 40)
        url = f"sqlite:///{folder}/bench.db"
        told = in_own_process("bench.ldap_run", url, str(slapd.port), str(PAGE))
        yield at_most("run: first import of 50,000", told["first_seconds"], "s", 45)
        yield at_most("run: unchanged, to ldapsearch's wall", told["again_seconds"] / their_wall, "x", 5)
        yield at_most("run: unchanged, CPU", told["again_cpu"], "s", 3)
        yield at_most("run: unchanged, rows written", told["again_rows"], "rows", 3)
        yield at_most("run: unchanged, memory", told["again_peak_mb"], "MB", 150)
        yield at_most("run: incremental, unchanged", told["idle_seconds"] * 1000, "ms", 50)


@contextlib.contextmanager
def serve_seed(folder: Path, users: int = USERS) -> Iterator[Slapd]:
    """A server of its own with so many people and 500 groups."""
    certificates = make_certificates(folder, now=today())
    with slapd_factory(folder, certificates, os.environ) as make:
        export = folder / "seed.ldif"
        write_seed(export, users=users, groups=500, odd=False)
        yield make(export)


def _ldapsearch(slapd: Slapd) -> _Taken:
    command = [
        "ldapsearch",
        "-LLL",
        "-x",
        "-H",
        slapd.url,
        "-D",
        account("reader"),
        "-w",
        PASSWORD,
        "-b",
        PEOPLE,
    ]
    command += ["-E", f"pr={PAGE}/noprompt", "(objectClass=inetOrgPerson)", *ATTRIBUTES]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return _Taken(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall)
