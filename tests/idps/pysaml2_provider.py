"""pysaml2, of the `dev` extra; it signs by the distribution's xmlsec1."""

import sys
from collections.abc import Mapping, Sequence

from tests.architecture.project import ROOT
from tests.idps.provider import Provider, require


def require_pysaml2(environment: Mapping[str, str]) -> None:
    """Skips, or fails where providers are demanded."""
    require("xmlsec1", "install Debian's package 'xmlsec1', or run 'make test' as root there", environment)


class Pysaml2Provider(Provider):
    """Signs in by a form; what it says is made by pysaml2, with attributes named as Shibboleth does."""

    __slots__ = ()
    preset = "shibboleth"

    @property
    def entity_id(self) -> str:
        return f"{self.url}/metadata"

    @property
    def metadata_url(self) -> str:
        return f"{self.url}/metadata"

    @property
    def logout_url(self) -> str:
        return f"{self.url}/slo"

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        program = "import sys; from tests.idps.pysaml2_server import main; main(sys.argv[1])"
        words = [sys.executable, "-c", program, str(self.folder / "state.json")]
        return words, {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
