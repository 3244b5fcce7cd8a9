"""The guide for host applications: its commands run, its token is one of ours, its errors are all there are."""

import json
import re
import shlex
from pathlib import Path

import pytest

from api.keys import ALGORITHM
from api.people import MOST_GRANTS
from api.server import CODE_LIFETIME, TOKEN_LIFETIME
from service.backchannel import MOST_ATTEMPTS, ROTATE_AFTER
from tests.api.scene import make_scene, open_scene
from tests.architecture.project import ROOT
from tests.journeys.shell import Shell

GUIDE = (ROOT / "docs" / "guides" / "host-applications.md").read_text(encoding="utf-8")
SOURCES = [*(ROOT / "api").glob("*.py")]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_guide_runs_in_its_order(shell: Shell) -> None:
    shell.set_up()

    outputs = {
        line: shell.answer(*shlex.split(line.removeprefix("usher ")))
        for block in blocks("sh")
        for line in block.splitlines()
    }

    assert "client secret  usher_client_" in next(iter(outputs.values()))
    assert "Staff portal" in outputs["usher client list"]
    assert outputs['usher client remove "Staff portal" --yes'].startswith("The application")


def test_the_token_of_the_guide_is_like_a_real_one(tmp_path: Path) -> None:
    text, _webhook = blocks("json")
    told = json.loads(text)

    with open_scene(make_scene(tmp_path / "made"), tmp_path) as scene:
        claims = scene.claims(scene.tokens()["id_token"])

    assert {name: type(value) for name, value in told.items()} == {
        name: type(value) for name, value in claims.items()
    }
    assert [grant.keys() for grant in told["grants"]] == [grant.keys() for grant in claims["grants"]]


@pytest.mark.parametrize(
    "said",
    [
        f"for {int(CODE_LIFETIME.total_seconds())} seconds",
        f"for {int(TOKEN_LIFETIME.total_seconds()) // 60} minutes",
        f"more than {MOST_GRANTS} grants",
        f"every {ROTATE_AFTER.days} days",
        f"{MOST_ATTEMPTS} times within a day",
        f"`{ALGORITHM}`",
    ],
)
def test_the_figures_of_the_guide_are_those_of_the_code(said: str) -> None:
    assert said in GUIDE


def test_every_error_that_we_name_ourselves_is_in_the_guide() -> None:
    named = set[str]()
    for source in SOURCES:
        named |= set(re.findall(r'error(?:: str)? ?= ?"([a-z_]+)"', source.read_text(encoding="utf-8")))

    assert named >= {"unsupported_grant_type", "invalid_token", "slow_down"}
    assert {error for error in named if f"`{error}`" not in GUIDE} == set()
