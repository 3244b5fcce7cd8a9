"""Receivers that fail in scripted ways, and organisations whose log is sealed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.administration import Administration
from tests.certificates import Certificates, make_certificates, today
from tests.service.worlds import HandClock, small_world
from tests.streams.object_stores import Azurite, Moto, require_azurite, require_moto, run_azurite, run_moto
from tests.streams.receivers import HTTPSReceiver


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), now=today())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def receiver(certificates: Certificates) -> Iterator[HTTPSReceiver]:
    with HTTPSReceiver(certificates) as running:
        yield running


@pytest.fixture(scope="session")
def moto(certificates: Certificates) -> Iterator[Moto]:
    """One for all tests: each makes a bucket of its own."""
    require_moto(os.environ)
    with run_moto(certificates) as running:
        yield running


@pytest.fixture(scope="session")
def azurite(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One for all tests: each makes a container of its own."""
    require_azurite(os.environ)
    with run_azurite(certificates, tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture
def world(
    tmp_path: Path, clock: HandClock, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Administration]:
    """An organisation of a service that may reach this machine and trusts the receivers' authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with small_world(tmp_path, clock, USHER_PRIVATE_TARGETS="127.0.0.0/8,::1/128") as administration:
        yield administration
