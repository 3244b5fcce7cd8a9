"""Where a store is not installed the tests that need it say so in a line."""

import sys
from pathlib import Path

import pytest

from tests.streams.object_stores import Process, require_azurite, require_moto


def test_without_a_store_the_asking_test_is_skipped_in_a_plain_line(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"^no moto here: run [^\n]+$"):
        require_moto({}, tmp_path / "python")
    with pytest.raises(pytest.skip.Exception, match=r"^no azurite here: run [^\n]+$"):
        require_azurite({"PATH": str(tmp_path)})


def test_a_store_that_is_demanded_fails_the_asking_test(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^REQUIRE_STORES=1, but no moto here: run [^\n]+$"):
        require_moto({"REQUIRE_STORES": "1"}, tmp_path / "python")


def test_a_server_that_ends_at_once_is_not_waited_for() -> None:
    process = Process([sys.executable, "-c", ""], {})

    with pytest.raises(OSError, match="has ended before it listened"):
        process.__enter__()
