"""Fixtures of the tests of the provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.scene import Made, Scene, make_scene, open_scene


@pytest.fixture(scope="session")
def made_scene(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_scene(tmp_path_factory.mktemp("oidc"))


@pytest.fixture
def scene(tmp_path: Path, made_scene: Made) -> Iterator[Scene]:
    with open_scene(made_scene, tmp_path) as opened:
        yield opened
