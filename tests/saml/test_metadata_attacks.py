"""Hostile metadata of docs/guides/saml-attacks.md is not taken: the reader refuses it, or the one write path does."""

import socket
from collections.abc import Iterator

import pytest

from directory.sso_changes import TakeMetadata
from saml.errors import MetadataError
from saml.metadata import IdPMetadata, parse_metadata
from tests.builders import World, make_world, shared_database
from tests.provisioning.signing import Provider
from tests.saml_forge.cases import ATTACKS, CANARY, Attack, attacks_of
from tests.saml_forge.messages import NOW

CASES = attacks_of("metadata")
READ = [case for case in CASES if case.reason == "metadata"]
FETCHING = [case.file for case in CASES if CANARY.encode() in case.content]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("database")
    with shared_database("sqlite", folder, None) as database:
        yield make_world(database, folder=folder)


def read(case: Attack, document: bytes) -> IdPMetadata:
    return parse_metadata(document, now=NOW, signer=str(case.given.get("signer", "")))


@pytest.mark.parametrize("case", READ, ids=[case.file for case in READ])
def test_hostile_metadata_is_not_read(case: Attack) -> None:
    with pytest.raises(MetadataError) as refused:
        read(case, (ATTACKS / "metadata" / case.file).read_bytes())

    assert refused.value.code == case.reason


@pytest.mark.parametrize("file", FETCHING)
def test_no_address_in_metadata_is_fetched(file: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        made = attacks_of("metadata", f"http://127.0.0.1:{canary.getsockname()[1]}")
        case = next(case for case in made if case.file == file)

        with pytest.raises(MetadataError):
            read(case, case.content)

        with pytest.raises(BlockingIOError):
            canary.accept()


WRITTEN = [case for case in CASES if case.reason != "metadata"]


@pytest.mark.parametrize("case", WRITTEN, ids=[case.file for case in WRITTEN])
def test_metadata_of_somebody_else_is_not_taken(world: World, case: Attack) -> None:
    provider = Provider(world, case.file)
    found = read(case, (ATTACKS / "metadata" / case.file).read_bytes())
    take = TakeMetadata(provider.connection_id, "<md/>", found.settings, found.certificates)

    refused = world.refuse(take)

    assert refused.code == case.reason
    assert provider.stored.metadata is None
    assert world.events() == ["command.refused"]
