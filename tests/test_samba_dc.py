"""The domain controller is found or asked for in plain words, keeps its ports to itself, and leaves no trace."""

import contextlib
import os
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.samba_dc import SUFFIX, SambaDC, SambaFactory, SambaUnavailableError, samba_factory


def asked(tmp_path: Path, certificates: Certificates, user: int = 0, **environment: str) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(samba_factory(tmp_path, certificates, environment, user=user))


@pytest.mark.parametrize("user", [0, 1000])
def test_without_programs_or_root_a_test_is_skipped_in_plain_words(
    tmp_path: Path, certificates: Certificates, user: int
) -> None:
    with pytest.raises(pytest.skip.Exception, match="no Samba domain controller here: it takes root"):
        asked(tmp_path, certificates, user, SAMBA_PATH=str(tmp_path))


def test_without_programs_a_test_fails_where_they_are_required(
    tmp_path: Path, certificates: Certificates
) -> None:
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_SAMBA=1, but no Samba domain controller"):
        asked(tmp_path, certificates, SAMBA_PATH=str(tmp_path), REQUIRE_SAMBA="1")


def test_a_domain_that_cannot_be_made_is_told(tmp_path: Path, certificates: Certificates) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("samba", "samba-tool", "ldbmodify", "ldapmodify", "unshare"):
        (folder / name).write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
        (folder / name).chmod(0o700)

    with pytest.raises(pytest.skip.Exception, match="samba-tool failed: no room"):
        asked(tmp_path, certificates, SAMBA_PATH=str(folder))


@pytest.mark.samba
@pytest.mark.parametrize(("name", "program"), [("samba", "/bin/false"), ("unshare", "/bin/false")])
def test_a_controller_that_does_not_start_says_so(
    make_samba_dc: SambaFactory, tmp_path: Path, name: str, program: str
) -> None:
    programs = {**make_samba_dc.programs, name: program}
    (tmp_path / "etc").mkdir()

    with pytest.raises(SambaUnavailableError, match="Samba does not run here"):
        SambaDC(programs, tmp_path, make_samba_dc.certificates, tries=2).start()


@pytest.mark.samba
def test_two_controllers_run_side_by_side_and_end_without_a_trace(
    tmp_path: Path, certificates: Certificates, samba_dc: SambaDC
) -> None:
    with samba_factory(tmp_path, certificates, os.environ, user=os.geteuid()) as make:
        other = make(recycle_bin=True)
        other.modify(f"dn: OU=Only here,{SUFFIX}\nchangetype: add\nobjectClass: organizationalUnit\n\n")

        assert "Only here" in other.ask(SUFFIX, "(ou=Only here)", "ou")
        assert "Only here" not in samba_dc.ask(SUFFIX, "(ou=Only here)", "ou")
        assert other.port != samba_dc.port

    other.stop()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SambaUnavailableError, match="Can't contact LDAP server"):
        other.ask(SUFFIX, "(ou=Only here)", "ou")
