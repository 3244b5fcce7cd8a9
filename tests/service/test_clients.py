"""Host applications as the operator registers and removes them, with what is written down of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from audit.body import EventBody, parse_body
from directory.ids import ClientId
from service.clients import (
    MOST_ADDRESSES,
    SECRET_PREFIX,
    NewClient,
    find_client,
    register_client,
    remove_client,
    signing_keys,
)
from service.environments import load_environment
from service.errors import AmbiguousNameError, InputError, NotFoundError
from service.files import shipped_catalogue
from service.opening import open_and_upgrade
from service.settings import load_settings
from service.wiring import Wiring
from storage.tables import audit_event
from tests.service.worlds import OPERATOR

CALLBACK = "https://app.example/callback"
NEW = NewClient("Host", "minut", [CALLBACK])


@pytest.fixture
def wiring(tmp_path: Path) -> Iterator[Wiring]:
    with open_and_upgrade(load_settings({"USHER_DATA": str(tmp_path / "var")})) as opened:
        load_environment(shipped_catalogue("minut") or "", source="minut.yaml", wiring=opened, actor=OPERATOR)
        yield opened


def events(wiring: Wiring) -> list[EventBody]:
    """What belongs to no organisation, but for the environment."""
    statement = select(audit_event.c.body).where(audit_event.c.organisation_id.is_(None))
    with wiring.database.read() as connection:
        rows = connection.execute(statement.order_by(audit_event.c.id))
        return [parse_body(bytes(row[0])) for row in rows][1:]


def test_a_registration_is_written_down_without_its_secret(wiring: Wiring) -> None:
    made = register_client(wiring, replace(NEW, logout_uris=["https://app.example/bye"] * 2), OPERATOR)

    assert made.secret.startswith(SECRET_PREFIX)
    assert made.client.logout_uris == ("https://app.example/bye",)
    assert wiring.clients.client(made.client.client_id) == made.client
    assert made.secret not in repr(made)
    (event,) = events(wiring)
    assert event["action"] == "client.created"
    assert event["actor"]["type"] == "admin"
    assert {change["path"]: change["after"] for change in event["changes"]} == {
        "name": "Host",
        "client_id": made.client.client_id,
        "environment": "minut",
        "redirect_uris": [CALLBACK],
    }
    assert made.secret not in str(event)


def test_a_removed_application_is_found_no_more(wiring: Wiring) -> None:
    made = register_client(wiring, NEW, OPERATOR)

    remove_client(wiring, find_client(wiring, "HOST"), OPERATOR)

    assert wiring.clients.clients() == []
    with pytest.raises(NotFoundError, match="no application 'Host'"):
        find_client(wiring, "Host")
    assert [event["action"] for event in events(wiring)] == ["client.created", "client.deleted"]
    assert register_client(wiring, NEW, OPERATOR).client.client_id != made.client.client_id


def test_an_application_is_found_by_id_where_the_name_is_not_its_own(wiring: Wiring) -> None:
    made = register_client(wiring, NEW, OPERATOR).client
    wiring.clients.put_client(replace(made, client_id=ClientId(wiring.mint.id())))

    assert find_client(wiring, made.client_id) == made
    with pytest.raises(AmbiguousNameError, match=made.client_id):
        find_client(wiring, "Host")


def test_all_faults_are_told_together(wiring: Wiring) -> None:
    new = NewClient(
        "",
        "minut",
        [f"https://app.example/{number}" for number in range(MOST_ADDRESSES)] + ["http://app.example/"],
        ["app.example/bye"],
        "http://localhost/backchannel",
    )

    with pytest.raises(InputError) as caught:
        register_client(wiring, new, OPERATOR)

    told = "\n".join(caught.value.faults)
    for part in (
        "the name must",
        "at most 50 redirect",
        "http://app.example/",
        "app.example/bye",
        "back-channel",
    ):
        assert part in told
    assert events(wiring) == []


@pytest.mark.parametrize("name", ["n" * 201, "nul\x00", "  "])
def test_a_name_is_a_text(wiring: Wiring, name: str) -> None:
    with pytest.raises(InputError, match="the name must"):
        register_client(wiring, replace(NEW, name=name), OPERATOR)


def test_an_application_needs_an_environment_an_address_and_a_name_of_its_own(wiring: Wiring) -> None:
    with pytest.raises(NotFoundError, match="environment 'else'"):
        register_client(wiring, replace(NEW, environment="else"), OPERATOR)
    with pytest.raises(InputError, match="at least one redirect"):
        register_client(wiring, replace(NEW, redirect_uris=[]), OPERATOR)
    register_client(wiring, NEW, OPERATOR)
    with pytest.raises(InputError, match="already"):
        register_client(wiring, replace(NEW, name=" host "), OPERATOR)


def test_a_new_signing_key_is_written_down_with_who_asked_for_it(wiring: Wiring) -> None:
    signing_keys(wiring).public()
    signing_keys(wiring, OPERATOR).rotate()

    first, second = events(wiring)
    assert (first["action"], second["action"]) == ("signing_key.rotated",) * 2
    assert first["actor"] == {"type": "system", "id": "signing_keys"}
    assert first["cause"]["kind"] == "system"
    assert second["cause"]["kind"] == "operator"
    private = [key.private_jwk for key in wiring.clients.signing_keys(wiring.clock())]
    assert len(private) == 3
    assert not any(key in str((first, second)) for key in private)
