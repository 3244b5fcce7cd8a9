"""What is skipped for want of a server is noted by the session, and left out by the gate in words."""

import json
from pathlib import Path

import pytest

from tests.absent_servers import OPTIONAL_SERVERS, AbsentServers
from tools.coverage_gate import main, without_absent
from tools.coverage_gate import parse_report as parse


def _report(outcome: str, *markers: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid="tests/sync/test_ad.py::test_it",
        location=("tests/sync/test_ad.py", 1, "test_it"),
        keywords=dict.fromkeys(markers, 1),
        outcome=outcome,  # type: ignore[arg-type]  # one of the words that pytest has
        longrepr=None,
        when="setup",
    )


def test_a_test_that_was_skipped_for_want_of_a_server_is_named_with_the_server_s_modules(
    tmp_path: Path,
) -> None:
    path = tmp_path / "absent"
    plugin = AbsentServers(path)

    plugin.pytest_runtest_logreport(_report("skipped", "samba"))
    plugin.pytest_runtest_logreport(_report("passed", "ds389"))
    plugin.pytest_runtest_logreport(_report("skipped", "pg"))
    plugin.pytest_sessionfinish()

    named = json.loads(path.read_text())
    assert named == {"samba": sorted(["tests/sync/test_ad.py", *OPTIONAL_SERVERS["samba"]])}


def test_where_every_server_is_there_nothing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    path.write_text("{}")

    AbsentServers(path).pytest_sessionfinish()

    assert not path.exists()


def test_a_process_that_collects_nothing_writes_nothing(tmp_path: Path) -> None:
    plugin = AbsentServers(None)
    plugin.pytest_runtest_logreport(_report("skipped", "samba"))

    plugin.pytest_sessionfinish()

    assert list(tmp_path.iterdir()) == []


def test_the_modules_of_optional_servers_are_there() -> None:
    assert all(Path(module).is_file() for modules in OPTIONAL_SERVERS.values() for module in modules)


def _coverage(*paths: str) -> str:
    entry = {
        "summary": {"num_statements": 9, "num_branches": 0},
        "missing_lines": [1],
        "missing_branches": [],
    }
    return json.dumps({"meta": {"branch_coverage": True}, "files": dict.fromkeys(paths, entry)})


def test_the_gate_leaves_out_what_is_named_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = parse(_coverage("tests/samba_dc.py", "tests/other.py"))

    kept = without_absent(files, json.dumps({"samba": ["tests/samba_dc.py"]}))

    assert [file.path for file in kept] == ["tests/other.py"]
    assert capsys.readouterr().out == "coverage: tests/samba_dc.py is not judged, for want of samba\n"


def test_the_gate_reads_what_the_session_has_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("coverage.json").write_text(_coverage("tests/samba_dc.py"))
    assert main("coverage.json") == 1

    Path(".absent-servers").write_text(json.dumps({"samba": ["tests/samba_dc.py"]}))

    assert main("coverage.json") == 0
    assert "not judged" in capsys.readouterr().out
