"""`python -m bench [NAME ...]`: run the named measurements, or all but the long ones.

Exit code 1 when a bound is missed.
"""

import sys
from collections.abc import Callable, Iterator

from bench import audit, core, ldap, ldap_large, saml, scim
from bench.figures import Figure, show

SUITES: dict[str, Callable[[], Iterator[Figure]]] = {
    "audit": audit.measure,
    "core": core.measure,
    "ldap": ldap.measure,
    "saml": saml.measure,
    "scim": scim.measure,
}
# A quarter of an hour each, and `audit_large` an hour.
ASKED_FOR: dict[str, Callable[[], Iterator[Figure]]] = {
    "audit_large": audit.measure_large,
    "ldap_large": ldap_large.measure,
}


def main(names: list[str]) -> int:
    known = SUITES | ASKED_FOR
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no measurement is called {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    kept = [show(figure) for name in names or SUITES for figure in known[name]()]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
