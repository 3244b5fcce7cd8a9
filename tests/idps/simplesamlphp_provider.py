"""SimpleSAMLphp as Debian packs it, on PHP's own server, with the configuration of `simplesamlphp/`."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.idps.provider import Provider, give_up, require

CONFIGURATION = Path(__file__).parent / "simplesamlphp"
PAGES = Path("/usr/share/simplesamlphp/www")
REMEDY = (
    "install Debian's packages 'simplesamlphp', 'php-cli' and 'php-xml', or run 'make test' as root there"
)


def require_simplesamlphp(environment: Mapping[str, str]) -> None:
    """Skips, or fails where providers are demanded."""
    php = require("php", REMEDY, environment)
    modules = subprocess.run([php, "-m"], capture_output=True, text=True, check=False).stdout.split()
    if not PAGES.is_dir() or "dom" not in modules:
        give_up(f"no SimpleSAMLphp here: {REMEDY}", environment)


class SimpleSAMLphpProvider(Provider):
    """Signs in by its `exampleauth` module; attributes have the short names of LDAP."""

    __slots__ = ()
    preset = "generic"

    @property
    def entity_id(self) -> str:
        return self.metadata_url

    @property
    def metadata_url(self) -> str:
        return f"{self.url}/saml2/idp/metadata.php"

    @property
    def logout_url(self) -> str:
        return f"{self.url}/saml2/idp/SingleLogoutService.php?ReturnTo={self.url}/logout.php"

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        for name in ("sessions", "temporary"):
            (self.folder / name).mkdir(exist_ok=True)
        environ = {"SIMPLESAMLPHP_CONFIG_DIR": str(CONFIGURATION), "USHER_TEST_FOLDER": str(self.folder)}
        return ["php", "-S", f"127.0.0.1:{self.port}", "-t", str(PAGES)], environ
