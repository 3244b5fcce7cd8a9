"""Every command that a guide shows is run, in order, as the reader would."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.architecture.project import ROOT
from tests.journeys.shell import Shell

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXPORT = ROOT / "tests" / "payloads" / "openldap" / "openldap-2k.ldif.gz"


def commands_of(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [line for block in BLOCK.findall(text) for line in block.splitlines()]


def run(shell: Shell, line: str) -> str:
    return shell.answer(*shlex.split(line.removeprefix("usher ")))


def test_the_guide_to_ldif_leads_from_an_export_to_roles(
    blank_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blank_shell.exports.mkdir(parents=True)
    shutil.copy(EXPORT, blank_shell.exports / "hq.ldif.gz")

    outputs = [(line, run(blank_shell, line)) for line in commands_of("docs/guides/ldif.md")]

    seats = [output for line, output in outputs if line == "usher seats"]
    assert "2000 users added" in dict(outputs)["usher sync run hq"]
    assert "5 of 5 seats used (plan Standard)" in seats[0]
    assert "wait" not in seats[1]
    assert (tmp_path / "events.csv").stat().st_size > 0


def test_the_commands_of_the_readme_work_on_the_sample_companies(blank_shell: Shell) -> None:
    blank_shell.answer("demo", "--once")
    lines = commands_of("README.md")

    assert lines
    for line in lines:
        run(blank_shell, line)
