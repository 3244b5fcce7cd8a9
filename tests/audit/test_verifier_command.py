"""The verifier as a program, and archives."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import audit.verifier
from audit.verifier import COMPLETE, EXIT_CODES, main
from tests.audit.bundles import BODIES, ORIGIN, SOURCE, WHOLE, check, failure, make_note, make_vkey


def test_an_archive_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(WHOLE)

    assert check(path).result == COMPLETE
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(WHOLE)
    with ZipFile(path, "a") as archive:
        archive.writestr("events.jsonl", b"another\n")

    assert failure(path) == "a name is in the archive twice"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"

    for forged in (b"", b"PK", WHOLE[:-30], WHOLE[:200] + bytes(20) + WHOLE[220:]):
        path.write_bytes(forged)
        assert failure(path).startswith("the bundle is damaged")


def test_the_command_prints_the_report_and_gives_its_code(
    whole: Path, selected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key").write_text(f"{make_vkey()}\n", encoding="utf-8")
    (tmp_path / "older").write_text(make_note(BODIES[:300]), encoding="utf-8")
    pinned = ["--key", str(tmp_path / "key")]

    assert (
        main([str(whole), *pinned, "--older", str(tmp_path / "older"), "--complete", "--origin", ORIGIN]) == 0
    )
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASSED complete: ")
    assert main([str(selected), "--key", make_vkey()]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASSED inclusion only: ")
    assert main([str(selected), *pinned, "--complete"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAILED: not the whole log: ")
    assert main([str(whole)]) == 4
    assert capsys.readouterr().out.splitlines()[-1].startswith("UNPINNED: would be PASSED complete, ")
    assert main([str(tmp_path / "absent.zip"), *pinned]) == 3
    assert "absent.zip" in capsys.readouterr().err


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bundle.zip", "--trust-me"])

    assert "--trust-me" in capsys.readouterr().err


def test_the_file_is_a_program(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["verifier.py", str(whole), "--key", make_vkey()])

    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(audit.verifier.__file__, run_name="__main__")


def test_the_bundles_own_file_verifies_in_an_empty_directory_with_python_alone(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_bytes(WHOLE)
    (tmp_path / "verifier.py").write_bytes(SOURCE)

    done = subprocess.run(
        [sys.executable, "-I", "-S", "verifier.py", "bundle.zip", "--key", make_vkey()],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("PASSED complete: ")


GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "verify.md"
COMMANDS = [
    line.removeprefix("python3 verifier.py ")
    for line in GUIDE.read_text(encoding="utf-8").splitlines()
    if line.startswith("python3 verifier.py ")
]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_guide_pass(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle.zip").write_bytes(WHOLE)
    (tmp_path / "kept-checkpoint.txt").write_text(make_note(BODIES[:300]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert main(shlex.split(command.replace("THE KEY YOU WERE GIVEN", make_vkey()))) == 0


def test_the_guide_names_every_result_with_its_exit_code() -> None:
    rows = re.findall(r"^\| `([A-Za-z ]+)` \| (\d) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(COMMANDS) == 3
    assert {result: int(code) for result, code in rows} == EXIT_CODES
