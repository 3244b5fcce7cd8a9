"""npm's samlp: node, and the packages of `samlp/package-lock.json` in the environment's folder."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.idps.provider import Provider, give_up, require

SERVER = Path(__file__).parent / "samlp" / "server.js"
PACKAGES = Path(sys.prefix) / "idps" / "samlp" / "node_modules"
REMEDY = "install Node.js 20 with npm, and run 'make test-services'"


def require_samlp(environment: Mapping[str, str]) -> None:
    """Skips, or fails where providers are demanded."""
    require("node", REMEDY, environment)
    if not (PACKAGES / "samlp").is_dir():
        give_up(f"no npm package samlp here: {REMEDY}", environment)


class SamlpProvider(Provider):
    """Signs in by a form; answers and logs out by what `samlp` makes."""

    __slots__ = ()
    preset = "okta"
    publishes_several = False

    @property
    def entity_id(self) -> str:
        return "urn:samlp.example"

    @property
    def metadata_url(self) -> str:
        return f"{self.url}/metadata"

    @property
    def logout_url(self) -> str:
        return f"{self.url}/slo"

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        environ = {"NODE_PATH": str(PACKAGES), "USHER_TEST_STATE": str(self.folder / "state.json")}
        return ["node", "--no-deprecation", str(SERVER)], environ
