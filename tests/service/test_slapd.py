"""The private server of the demo."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.demo_ldap import SUFFIX, ldap_steps, prepare_ldap_demo, sample_export
from service.errors import FileAccessError, InputError
from service.opening import open_and_upgrade
from service.settings import load_settings
from service.slapd import Programs, SlapdError, find_programs, run_slapd
from tests.journeys.shell import Shell
from tests.service.worlds import OPERATOR
from tests.slapd import require_programs


@pytest.fixture
def blank_shell(tmp_path: Path) -> Shell:
    """A shell where nothing is set up."""
    return Shell(tmp_path)


@pytest.fixture
def programs() -> Programs:
    """What this machine has; without it the test is skipped as all tests of slapd are."""
    require_programs(os.environ)
    return find_programs(os.environ)


@pytest.mark.slapd
def test_the_demo_reads_a_private_server_and_the_next_start_goes_on(blank_shell: Shell) -> None:
    first = blank_shell.answer("demo", "--ldap", "--once")
    second = blank_shell.answer("demo", "--ldap", "--once")
    (document,) = blank_shell.json("demo", "--ldap", "--once")

    assert "Organisation 'Kusthem' (minut) is new: 46 people and 35 groups" in first
    assert "is there already and stays as it is: 46 people" in second
    assert "directory test openldap" in second
    assert document["export"].startswith("ldap://127.0.0.1:")
    assert not blank_shell.settings.passwords.exists()
    admin = blank_shell.settings.data / "slapd" / "admin.password"
    assert stat.S_IMODE(admin.stat().st_mode) == 0o600
    assert admin.read_text(encoding="utf-8") not in first + second


@pytest.mark.slapd
def test_the_demo_keeps_away_from_an_organisation_that_is_read_from_its_export(
    blank_shell: Shell, programs: Programs
) -> None:
    blank_shell.answer("demo", "--once")
    folder = blank_shell.settings.data / "slapd"

    with (
        open_and_upgrade(load_settings({"USHER_DATA": str(blank_shell.settings.data)})) as wiring,
        run_slapd(folder, sample_export(), suffix=SUFFIX, programs=programs) as slapd,
        pytest.raises(InputError, match="a folder of its own by USHER_DATA"),
    ):
        prepare_ldap_demo(wiring, OPERATOR, slapd, tell=lambda _line: None)
    assert ldap_steps(slapd, "usher", folder)[1] == "usher directory test openldap"


def test_without_slapd_a_line_says_what_to_install() -> None:
    with pytest.raises(SlapdError, match="there is no slapd on this machine; install") as caught:
        find_programs({"PATH": "/none"}, folders=())

    assert "\n" not in str(caught.value)


@pytest.mark.slapd
def test_data_that_cannot_be_loaded_is_told_and_leaves_nothing(tmp_path: Path, programs: Programs) -> None:
    with pytest.raises(SlapdError, match="cannot load the sample data"), ExitStack() as stack:
        stack.enter_context(run_slapd(tmp_path / "slapd", "dn: nonsense\n", suffix=SUFFIX, programs=programs))
    assert not (tmp_path / "slapd" / "data").exists()


@pytest.mark.slapd
def test_a_server_that_does_not_start_is_told_in_its_own_words(tmp_path: Path, programs: Programs) -> None:
    folder = tmp_path / "slapd"
    with run_slapd(folder, sample_export(), suffix=SUFFIX, programs=programs):
        pass
    (folder / "data" / "data.mdb").write_bytes(b"damaged")

    with pytest.raises(SlapdError, match="slapd does not start"), ExitStack() as stack:
        stack.enter_context(run_slapd(folder, sample_export(), suffix=SUFFIX, programs=programs))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    nowhere = Programs("slapd", "slapadd", "schemas", "modules")

    with pytest.raises(FileAccessError, match="cannot be written"), ExitStack() as stack:
        stack.enter_context(run_slapd(tmp_path / "file" / "slapd", "", suffix=SUFFIX, programs=nowhere))

    (tmp_path / "slapd").mkdir()
    (tmp_path / "slapd" / "slapd.conf").mkdir()
    with pytest.raises(FileAccessError, match="cannot be written"), ExitStack() as stack:
        stack.enter_context(run_slapd(tmp_path / "slapd", "", suffix=SUFFIX, programs=nowhere))
