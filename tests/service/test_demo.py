"""The sample organisations' edges; that they are made is a journey."""

import os
from pathlib import Path

import pytest

from service.demo import command_name, prepare_demo
from service.errors import FileAccessError
from service.opening import open_and_upgrade
from service.settings import load_settings
from tests.service.worlds import OPERATOR


def test_command_is_named_as_it_was_called() -> None:
    folder = Path("/srv/usher")

    assert command_name(".venv/bin/usher", folder) == ".venv/bin/usher"
    assert command_name("/srv/usher/.venv/bin/usher", folder) == ".venv/bin/usher"
    assert command_name("/opt/usher/bin/usher", folder) == "/opt/usher/bin/usher"
    assert command_name("usher", folder) == "usher"
    assert command_name("/usr/bin/pytest", folder) == "usher"


def test_export_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    settings = load_settings({"USHER_DATA": str(tmp_path / "var")})
    with open_and_upgrade(settings) as wiring:
        # A link into nowhere: the file is not there, and cannot be made.
        os.symlink(tmp_path / "none" / "x", settings.exports / "minut.ldif")

        with pytest.raises(FileAccessError, match="cannot be written"):
            prepare_demo(wiring, OPERATOR, tell=lambda _line: None)

        (settings.exports / "minut.ldif").unlink()
        prepared = prepare_demo(wiring, OPERATOR, tell=lambda _line: None)
        assert [demo.users for demo in prepared] == [46, 37]


def test_export_that_somebody_put_there_is_kept(tmp_path: Path) -> None:
    settings = load_settings({"USHER_DATA": str(tmp_path / "var")})
    with open_and_upgrade(settings) as wiring:
        prepare_demo(wiring, OPERATOR, tell=lambda _line: None)
        edited = settings.exports / "minut.ldif"
        edited.write_text("edited\n", encoding="utf-8")

        prepare_demo(wiring, OPERATOR, tell=lambda _line: None)

        assert edited.read_text(encoding="utf-8") == "edited\n"
