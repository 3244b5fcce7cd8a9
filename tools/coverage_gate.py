"""Gate: branch coverage is whole on floors 1 to 3 and in the tests, and 95 % in each other package.

Reads `coverage json`'s report and the list of exceptions; measures nothing itself.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

WHOLE = frozenset({"audit", "directory", "mappings", "provisioning", "tests"})
ELSEWHERE_PERCENT = 95.0
ABSENT_PATH = Path(".absent-servers")
EXCEPTIONS_PATH = Path(__file__).with_name("coverage_exceptions.txt")


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """What the tests reached of one file; a branch is a pair of lines, the second negative for an exit."""

    path: str
    total: int
    missing_lines: tuple[int, ...]
    missing_branches: tuple[tuple[int, int], ...]

    @property
    def package(self) -> str:
        """The top-level folder."""
        return Path(self.path).parts[0]

    @property
    def missing(self) -> int:
        """Lines and branches that no test reached."""
        return len(self.missing_lines) + len(self.missing_branches)

    def describe(self) -> str:
        """Say in one line what is missing."""
        parts = [f"{self.path}:"]
        if self.missing_lines:
            parts.append(f"lines {render_ranges(self.missing_lines)}")
        if self.missing_branches:
            arrows = (f"{start}->{'exit' if end < 0 else end}" for start, end in self.missing_branches)
            parts.append(f"branches {', '.join(arrows)}")
        return " ".join(parts)


def render_ranges(numbers: Iterable[int]) -> str:
    """Render sorted line numbers, runs of them as `first-last`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def parse_report(text: str) -> list[FileCoverage]:
    """Parse the text of `coverage json`."""
    report = json.loads(text)
    if not report["meta"]["branch_coverage"]:
        raise SystemExit("coverage: the report was made without branches")
    return [
        FileCoverage(
            path=path,
            total=entry["summary"]["num_statements"] + entry["summary"]["num_branches"],
            missing_lines=tuple(entry["missing_lines"]),
            missing_branches=tuple((start, end) for start, end in entry["missing_branches"]),
        )
        for path, entry in sorted(report["files"].items())
    ]


def parse_exceptions(text: str) -> dict[str, int]:
    """Parse the list of exceptions: how many lines and branches each file may miss."""
    exceptions: dict[str, int] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            path, missing, _reason = line.split(maxsplit=2)
            exceptions[path] = int(missing)
    return exceptions


def without_absent(files: Iterable[FileCoverage], text: str) -> list[FileCoverage]:
    """Leave out the files whose tests could not run, for want of a server that need not be everywhere; say so.

    `text` is what the test session has written: a JSON object of server to files.
    """
    wanting = {path: server for server, paths in json.loads(text).items() for path in paths}
    kept = []
    for file in files:
        if file.path in wanting and file.missing:
            print(f"coverage: {file.path} is not judged, for want of {wanting[file.path]}")
        else:
            kept.append(file)
    return kept


def find_faults(files: Iterable[FileCoverage], exceptions: Mapping[str, int]) -> list[str]:
    """Name every fault, one line each; an empty list is a pass."""
    packages: dict[str, list[FileCoverage]] = defaultdict(list)
    for file in files:
        packages[file.package].append(file)
    known = {file.path: file for members in packages.values() for file in members}
    faults = []
    for path, allowed in exceptions.items():
        missing = known[path].missing if path in known else 0
        if missing < allowed:
            faults.append(f"{path}: misses only {missing}; lower its exception from {allowed}")
    for package, members in sorted(packages.items()):
        short = [file for file in members if file.missing > exceptions.get(file.path, 0)]
        if package in WHOLE:
            faults += [f"{file.describe()} (100 % wanted)" for file in short]
            continue
        percent = reached_percent(members, exceptions)
        if percent < ELSEWHERE_PERCENT:
            faults.append(f"{package}: {percent:.2f} % reached, {ELSEWHERE_PERCENT:g} % wanted")
            faults += [f"  {file.describe()}" for file in short]
    return faults


def reached_percent(files: Iterable[FileCoverage], exceptions: Mapping[str, int]) -> float:
    """Share of lines and branches reached, with those excepted left out; an empty package is whole."""
    total = missing = 0
    for file in files:
        excepted = min(exceptions.get(file.path, 0), file.missing)
        total += file.total - excepted
        missing += file.missing - excepted
    return 100.0 * (total - missing) / total if total else 100.0


def main(report_path: str) -> int:
    """Print every fault, or one line for each package; the exit code is 1 when there is a fault."""
    files = parse_report(Path(report_path).read_text(encoding="utf-8"))
    if ABSENT_PATH.exists():
        files = without_absent(files, ABSENT_PATH.read_text(encoding="utf-8"))
    exceptions = parse_exceptions(EXCEPTIONS_PATH.read_text(encoding="utf-8"))
    faults = find_faults(files, exceptions)
    for fault in faults:
        print(fault)
    if faults:
        print("coverage: failed")
        return 1
    for package in sorted({file.package for file in files}):
        percent = reached_percent((file for file in files if file.package == package), exceptions)
        print(f"coverage: {package} {percent:.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
