"""`python -m bench [NAME ...]`: run the named measurements, or all. Exit code 1 when a bound is missed."""

import sys
from collections.abc import Callable, Iterator

from bench import core, ldap, scim
from bench.figures import Figure, show

SUITES: dict[str, Callable[[], Iterator[Figure]]] = {
    "core": core.measure,
    "ldap": ldap.measure,
    "scim": scim.measure,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(
            f"no measurement is called {', '.join(unknown)}; there are {', '.join(SUITES)}", file=sys.stderr
        )
        return 2
    kept = [show(figure) for name in names or SUITES for figure in SUITES[name]()]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
