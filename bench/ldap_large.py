"""What ten times as many people cost an unchanged run. Takes a quarter of an hour, so it is asked for by name."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure, at_most, in_own_process
from bench.ldap import PAGE, USERS, serve_seed
from tests.slapd import PASSWORD

ROUNDS = 3


def measure(users: int = USERS) -> Iterator[Figure]:
    """Wall and memory of a run that finds nothing changed among `users` people, and among ten times as many."""
    with tempfile.TemporaryDirectory(prefix="usher-bench-") as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        small.mkdir()
        large.mkdir()
        with serve_seed(small, users) as few, serve_seed(large, 10 * users) as many:
            urls = [f"sqlite:///{place}/bench.db" for place in (small, large)]
            for url, slapd in zip(urls, (few, many), strict=True):
                in_own_process("bench.ldap_run", url, str(slapd.port), str(PAGE))
            rounds = [[_again(url) for url in urls] for _ in range(ROUNDS)]
    seconds = [median(told["again_seconds"] for told in column) for column in zip(*rounds, strict=True)]
    yield at_most("run: unchanged, 500,000 to 50,000", seconds[1] / seconds[0], "x", 11)
    yield at_most(
        "run: unchanged, memory of 500,000", max(told["again_peak_mb"] for _, told in rounds), "MB", 400
    )


def _again(url: str) -> dict[str, Any]:
    return in_own_process("bench.ldap_again", url, PASSWORD)
