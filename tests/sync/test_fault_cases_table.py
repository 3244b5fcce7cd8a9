"""The table of faults names every case, and tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "guides" / "ldap-faults.md"
CASES = 51
ROW = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_\w+)`")


def results() -> list[tuple[int, str]]:
    """The number and the last cell of every row."""
    return [(int(number), cell) for number, cell in ROW.findall(TABLE.read_text(encoding="utf-8"))]


def test_every_case_has_one_row_with_a_test_or_a_reason() -> None:
    rows = results()

    assert [number for number, _ in rows] == list(range(1, CASES + 1))
    assert [number for number, cell in rows if not (NAMED.search(cell) or cell.startswith("not shown"))] == []


def test_every_test_that_the_table_names_is_there() -> None:
    named = {found for _, cell in results() for found in NAMED.findall(cell)}

    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_test_of_a_fault_case_stands_in_the_table() -> None:
    named = {name for _, cell in results() for _, name in NAMED.findall(cell)}
    files = [
        path for path in sorted(Path(__file__).parent.glob("test_fault_cases_*.py")) if path != Path(__file__)
    ]
    written = {
        name for path in files for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }

    assert written - named == set()
