"""A directory's password lies in a file that its settings name, and nowhere else."""

import stat
from pathlib import Path

import pytest

from directory.ids import DirectoryId
from service.errors import FileAccessError, InputError
from service.passwords import check_password, forget_passwords, read_password, store_password
from sync.errors import LDAPSettingsError

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


# Storing.


def test_a_password_is_written_to_a_new_file_that_only_its_owner_may_read(tmp_path: Path) -> None:
    folder = tmp_path / "passwords"

    first = store_password(folder, HQ, "one", names_in_use=())
    second = store_password(folder, HQ, "two", names_in_use={first})

    assert {name: read_password(folder, name) for name in (first, second)} == {first: "one", second: "two"}
    assert stat.S_IMODE((folder / first).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_a_command_that_was_cut_off_has_left_is_written_over(tmp_path: Path) -> None:
    name = store_password(tmp_path, HQ, "one", names_in_use=())

    assert store_password(tmp_path, HQ, "two", names_in_use=()) == name
    assert read_password(tmp_path, name) == "two"


def test_only_files_made_here_and_named_no_more_are_forgotten(tmp_path: Path) -> None:
    first = store_password(tmp_path, HQ, "one", names_in_use=())
    second = store_password(tmp_path, HQ, "two", names_in_use={first})
    (tmp_path / "mounted").write_text("kept", encoding="utf-8")

    forget_passwords(tmp_path, HQ, names_in_use={second, "mounted"})

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([second, "mounted"])


def test_a_folder_that_cannot_be_written_is_told_without_the_password(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("a file", encoding="utf-8")

    with pytest.raises(FileAccessError, match="cannot be written") as caught:
        store_password(tmp_path / "passwords", HQ, "hunter2", names_in_use=())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "\r\n", "two\nlines", "hunter\0", "x" * 1025])
def test_what_can_be_no_password_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InputError, match="password") as caught:
        check_password(text)
    assert "hunter" not in str(caught.value)


def test_blanks_belong_to_a_password_and_the_line_s_end_does_not() -> None:
    assert check_password(" s\u00e9same \r\n") == " s\u00e9same "
