"""Bundles of one log, each unpacked where a test may change it."""

from pathlib import Path

import pytest

from tests.audit.bundles import PART, SELECTED, WHOLE, unpack


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return unpack(WHOLE, tmp_path / "whole")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return unpack(PART, tmp_path / "part")


@pytest.fixture
def selected(tmp_path: Path) -> Path:
    return unpack(SELECTED, tmp_path / "selected")
