"""A directory's password is sealed or lies in a file, as its settings say, and is nowhere else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from directory.changes import PutDirectory, PutDirectorySecret
from directory.ids import DirectoryId
from service.administration import Administration
from service.errors import InputError
from service.passwords import check_password, directory_passwords, forget_passwords, read_password
from sync.errors import LDAPSettingsError
from tests.service.worlds import HandClock, small_world

HQ = DirectoryId("0197f9a0-0000-7000-8000-000000000001")


@pytest.mark.parametrize("text", ["s\u00e9same ", "s\u00e9same \n", "s\u00e9same \r\n"])
def test_a_password_is_read_without_its_line_s_end_and_with_its_blanks(tmp_path: Path, text: str) -> None:
    (tmp_path / "hq").write_bytes(text.encode())

    assert read_password(tmp_path, "hq") == "s\u00e9same "


@pytest.mark.parametrize("name", ["", "../secret.key", "a/b", ".hidden", "x" * 65])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LDAPSettingsError, match="no name of a password"):
        read_password(tmp_path, name)


def test_a_file_that_cannot_be_read_is_named_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "hq").write_bytes(b"secret \xff")

    with pytest.raises(LDAPSettingsError, match="not UTF-8") as caught:
        read_password(tmp_path, "hq")
    assert "secret" not in str(caught.value)
    with pytest.raises(LDAPSettingsError, match="No such file"):
        read_password(tmp_path, "branch")


# Sealed.


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Administration]:
    with small_world(tmp_path, HandClock()) as administration:
        secret = PutDirectorySecret(HQ, "password", "s\u00e9same ".encode())
        administration.apply([PutDirectory(HQ, "ldap", "server", {}), secret])
        yield administration


def test_a_name_leads_to_a_secret_or_to_a_file(sealed: Administration, tmp_path: Path) -> None:
    (tmp_path / "mounted").write_text("other", encoding="utf-8")
    give = directory_passwords(tmp_path, sealed.unit_of_work, HQ)

    assert give("sealed:password") == "s\u00e9same "
    assert give("mounted") == "other"


def test_a_secret_that_is_not_there_is_told_with_what_to_do(sealed: Administration, tmp_path: Path) -> None:
    give = directory_passwords(tmp_path, sealed.unit_of_work, HQ)

    with pytest.raises(LDAPSettingsError, match=r"'next_password'.* is not stored.*set-password"):
        give("sealed:next_password")


def test_only_files_made_here_and_named_no_more_are_forgotten(tmp_path: Path) -> None:
    first, second = f"{HQ}.1", f"{HQ}.2"
    for name in (first, second, "mounted"):
        (tmp_path / name).write_text("kept", encoding="utf-8")

    forget_passwords(tmp_path, HQ, names_in_use={second, "mounted"})

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([second, "mounted"])


@pytest.mark.parametrize("text", ["", "\n", "\r\n", "two\nlines", "hunter\0", "x" * 1025])
def test_what_can_be_no_password_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InputError, match="password") as caught:
        check_password(text)
    assert "hunter" not in str(caught.value)


def test_blanks_belong_to_a_password_and_the_line_s_end_does_not() -> None:
    assert check_password(" s\u00e9same \r\n") == " s\u00e9same "
