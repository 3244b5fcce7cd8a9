"""Notes which tests were skipped for want of a server, for the coverage gate asks for what could run only."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

_PROVIDERS = (
    "tests/browser.py",
    "tests/conftest.py",
    "tests/idps/provider.py",
    "tests/idps/test_answers.py",
    "tests/idps/test_provider.py",
    "tests/journeys/conftest.py",
    "tests/journeys/real_idps.py",
)
_DIRECTORIES = ("tests/conftest.py", "tests/sync/conftest.py")
_STORES = ("tests/streams/object_stores.py", "tests/streams/conftest.py")
OPTIONAL_SERVERS = {
    "azurite": _STORES,
    "chromium": ("tests/chromium.py",),
    "ds389": ("tests/ds389.py", "tests/sync/ds389_trees.py", *_DIRECTORIES),
    "idp_pysaml2": ("tests/idps/pysaml2_provider.py", "tests/idps/pysaml2_server.py", *_PROVIDERS),
    "idp_samlp": ("tests/idps/samlp_provider.py", *_PROVIDERS),
    "idp_simplesamlphp": ("tests/idps/simplesamlphp_provider.py", *_PROVIDERS),
    "moto": _STORES,
    "rsyslog": (),
    "samba": ("tests/samba_dc.py", "tests/in_namespace.py", "tests/sync/ad_trees.py", *_DIRECTORIES),
}
"""Markers of servers that need not be everywhere, and the modules that only their tests reach whole."""


class AbsentServers:
    """A plugin of the process that collects the reports of all others. Writes a JSON file at the end of the session.

    The file names, for each marker of which a test was skipped, the files that then are not reached whole. Without
    any there is no file. Without a path nothing is written: another process collects.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._skipped: dict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of a skipped test."""
        if not report.skipped:
            return
        for marker, modules in OPTIONAL_SERVERS.items():
            if marker in report.keywords:
                self._skipped[marker].update((report.location[0], *modules))

    def pytest_sessionfinish(self) -> None:
        """Write the file, or see to it that there is none."""
        if self._path is None:
            return
        if self._skipped:
            named = {marker: sorted(files) for marker, files in sorted(self._skipped.items())}
            self._path.write_text(json.dumps(named), encoding="utf-8")
        else:
            self._path.unlink(missing_ok=True)
