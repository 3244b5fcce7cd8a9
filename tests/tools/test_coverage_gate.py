"""The coverage gate: what it lets pass, what it names, and that its exceptions can only shrink."""

import json
from pathlib import Path

import pytest

from tools.coverage_gate import FileCoverage, find_faults, main, parse_exceptions, parse_report


def file(
    path: str, *lines: int, branches: tuple[tuple[int, int], ...] = (), total: int = 100
) -> FileCoverage:
    return FileCoverage(path=path, total=total, missing_lines=lines, missing_branches=branches)


def render_report(*files: FileCoverage, branch_coverage: bool = True) -> str:
    return json.dumps(
        {
            "meta": {"branch_coverage": branch_coverage},
            "files": {
                entry.path: {
                    "summary": {"num_statements": entry.total, "num_branches": 0},
                    "missing_lines": entry.missing_lines,
                    "missing_branches": entry.missing_branches,
                }
                for entry in files
            },
        }
    )


def test_one_missing_branch_fails_a_lower_floor() -> None:
    missing = file("audit/tree.py", 7, 8, 9, 12, branches=((3, 5), (4, -1)))

    assert find_faults([missing], {}) == [
        "audit/tree.py: lines 7-9, 12 branches 3->5, 4->exit (100 % wanted)"
    ]


def test_upper_floor_is_judged_as_a_whole() -> None:
    missing = file("storage/engine.py", *range(1, 11))

    assert find_faults([missing, file("storage/tables.py")], {}) == []
    assert find_faults([missing], {}) == [
        "storage: 90.00 % reached, 95 % wanted",
        "  storage/engine.py: lines 1-10",
    ]


def test_exception_excuses_what_it_counts_and_no_more() -> None:
    exceptions = parse_exceptions("# heading\n\naudit/tree.py 1 the reason\n")

    assert exceptions == {"audit/tree.py": 1}
    assert find_faults([file("audit/tree.py", 7)], exceptions) == []
    assert find_faults([file("audit/tree.py", 7, 9)], exceptions) == [
        "audit/tree.py: lines 7, 9 (100 % wanted)"
    ]


@pytest.mark.parametrize("files", [[], [file("audit/tree.py", 7)]])
def test_exception_must_shrink_with_what_is_missing(files: list[FileCoverage]) -> None:
    [fault] = find_faults(files, {"audit/tree.py": 2})

    assert fault.endswith(f"misses only {len(files)}; lower its exception from 2")


def test_report_without_branches_is_refused() -> None:
    with pytest.raises(SystemExit, match="without branches"):
        parse_report(render_report(branch_coverage=False))


def test_command_names_faults_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "coverage.json"

    path.write_text(render_report(file("mappings/rules.py", branches=((1, 2),))), encoding="utf-8")
    assert main(str(path)) == 1
    assert capsys.readouterr().out.startswith("mappings/rules.py: branches 1->2")

    path.write_text(render_report(file("mappings/rules.py"), file("sync/run.py", total=0)), encoding="utf-8")
    assert main(str(path)) == 0
    assert capsys.readouterr().out == "coverage: mappings 100.00 %\ncoverage: sync 100.00 %\n"
