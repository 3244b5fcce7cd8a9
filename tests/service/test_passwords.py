"""A directory's password lies in a file that its settings name, and nowhere else."""

from pathlib import Path

import pytest

from service.passwords import read_password
from sync.errors import LDAPSettingsError


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
