"""Where no browser is installed the tests that need it say so in a line."""

from pathlib import Path

import pytest

from tests.chromium import find_chromium


def test_without_chromium_the_asking_test_is_skipped_in_a_plain_line(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"^no Chromium on PATH; install [^\n]+$"):
        find_chromium({"PATH": str(tmp_path)})


def test_a_chromium_that_is_demanded_fails_the_asking_test(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"^no Chromium on PATH; install [^\n]+$"):
        find_chromium({"PATH": str(tmp_path), "REQUIRE_CHROMIUM": "1"})


def test_chromium_is_found_by_each_of_its_names(tmp_path: Path) -> None:
    program = tmp_path / "google-chrome"
    program.touch(mode=0o755)

    assert find_chromium({"PATH": str(tmp_path)}) == str(program)
