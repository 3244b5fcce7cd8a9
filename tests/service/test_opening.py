"""Databases opened and made: the key above all."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from service import opening
from service.errors import FileAccessError
from service.opening import open_and_upgrade, open_database_as_is, open_for_service, write_key
from service.settings import Settings, load_settings
from storage.errors import DatabaseLockedError, OutdatedDatabaseError
from storage.secrets import make_key_ring_text


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"USHER_DATA": str(tmp_path / "var")})


def test_first_start_makes_everything_and_later_ones_nothing(settings: Settings) -> None:
    with open_and_upgrade(settings):
        pass
    key = settings.key_file.read_text(encoding="utf-8")
    with open_and_upgrade(settings):
        pass

    assert settings.key_file.read_text(encoding="utf-8") == key
    assert settings.exports.is_dir()
    assert settings.data.stat().st_mode & 0o777 == 0o700


def test_key_that_another_process_made_meanwhile_is_used(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = make_key_ring_text("other")

    def slow(path: Path, text: str) -> bool:
        path.write_text(others, encoding="utf-8")
        return write_key(path, text)

    monkeypatch.setattr(opening, "write_key", slow)
    with open_and_upgrade(settings) as wiring:
        assert wiring.database.key_ring.seal(b"x", b"y").startswith(b"\x05other")

    assert settings.key_file.read_text(encoding="utf-8") == others


def test_key_that_cannot_be_written_is_told(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot be written"):
        write_key(tmp_path / "none" / "secret.key", "text")
    settings.key_file.mkdir(parents=True)
    with pytest.raises(FileAccessError, match="cannot be read"):
        open_and_upgrade(settings)


def test_one_service_holds_a_file(settings: Settings) -> None:
    with ExitStack() as first:
        open_for_service(settings, first)
        with ExitStack() as second, pytest.raises(DatabaseLockedError):
            open_for_service(settings, second)
    with ExitStack() as third:
        open_for_service(settings, third)


def test_opening_as_is_makes_nothing(settings: Settings) -> None:
    with pytest.raises(OutdatedDatabaseError):
        open_database_as_is(settings)

    assert not settings.data.exists()
