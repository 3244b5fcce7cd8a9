"""What the service does by itself for single sign-on, by a clock that is moved by hand."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from audit.body import parse_body
from directory.changes import AddDomain
from directory.ids import ConnectionId, EnvironmentId
from directory.sso_changes import ClaimDomain, PutConnection, RemoveConnection
from provisioning.logins import LoginRequest, StoredConnection
from provisioning.ports import EventQuery
from saml.domains import Proof, make_resolver
from service import sso_jobs
from service.administration import Administration
from service.connections import Document, add_connection, refresh_connection
from service.errors import RefusedError
from service.organisations import NewOrganisation, create_organisation
from service.outside import open_outgoing, resolver
from service.sso_jobs import (
    check_domain,
    check_domains,
    delete_expired_logins,
    note_ending_certificates,
    refresh_metadata,
)
from tests.certificates import Certificates
from tests.https_server import Web, serve_https
from tests.name_server import Text, serve_names
from tests.saml_forge.metadata import entity
from tests.service.worlds import OPERATOR, HandClock, small_world

CHALLENGE = "0123456789abcdef"
NAME = "_usher.acme.example"
PROOF: list[Text] = [f"usher-verification={CHALLENGE}".encode()]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(
    tmp_path: Path, clock: HandClock, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Administration]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with small_world(tmp_path, clock, USHER_PRIVATE_TARGETS="127.0.0.0/8") as administration:
        yield administration


@pytest.fixture
def web(certificates: Certificates) -> Iterator[Web]:
    with serve_https(certificates.good) as served:
        yield served


def add(world: Administration, web: Web, document: str = "") -> StoredConnection:
    text = document or entity()
    web.documents["/idp"] = text
    read = Document(text.encode(), f"{web.url}/idp")
    return add_connection(world, "Corporate", document=read, entity_id="", settings={})


def another(world: Administration) -> Administration:
    """Another organisation of the same service."""
    new = NewOrganisation("Other", EnvironmentId("minut"), "olivia@other.example", "Olivia Other", plan="Pro")
    made = create_organisation(new, wiring=world.wiring, actor=OPERATOR)
    return Administration(world.wiring, made.organisation_id, OPERATOR)


def refresh(world: Administration) -> int:
    with open_outgoing(world.wiring.settings) as outgoing:
        return refresh_metadata(world.wiring, outgoing)


def news(world: Administration) -> list[str]:
    with world.read() as reader:
        bodies = [parse_body(body) for _, body in reader.events(EventQuery(limit=10_000))]
    return [
        body["action"]
        for body in bodies
        if body["action"].split(".")[0] in {"metadata", "certificate", "domain"}
    ]


def stored(world: Administration, connection: StoredConnection) -> StoredConnection:
    with world.read() as reader:
        found = reader.sso.connection(connection.connection_id)
    assert found is not None
    return found


def state(world: Administration) -> str:
    with world.read() as reader:
        (claim,) = reader.sso.domain_claims()
    return claim.state


def test_metadata_is_read_anew_after_a_day(world: Administration, web: Web, clock: HandClock) -> None:
    add(world, web)
    clock.advance(hours=23)
    assert refresh(world) == 0

    clock.advance(hours=1)
    assert refresh(world) == 1
    assert refresh(world) == 0

    assert len(web.asked) == 1
    assert news(world) == ["certificate.added", "metadata.taken", "certificate.added"]


@pytest.mark.parametrize(("asked_for", "hours"), [("PT2H", 2), ("PT1M", 1), ("P30D", 24), ("P1M", 24)])
def test_metadata_is_read_anew_as_it_asks_within_bounds(
    world: Administration, web: Web, clock: HandClock, asked_for: str, hours: int
) -> None:
    add(world, web, entity(cached=asked_for))
    clock.advance(hours=hours, seconds=-1)
    assert refresh(world) == 0

    clock.advance(seconds=2)

    assert refresh(world) == 1


def test_as_many_are_read_at_once_as_a_job_may_take(
    world: Administration, web: Web, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sso_jobs, "_AT_ONCE", 0)
    add(world, web)
    clock.advance(days=1)

    assert refresh(world) == 0


def test_an_address_that_was_never_read_is_read(world: Administration, web: Web) -> None:
    web.documents["/idp"] = entity()
    made = add_connection(world, "Corporate", document=None, entity_id="", settings={})
    world.apply([PutConnection(made.connection_id, made.name, {"metadata_url": f"{web.url}/idp"})])

    assert refresh(world) == 1

    assert stored(world, made).metadata is not None


@pytest.mark.parametrize("served", [500, entity(entity_id="urn:taken-over")])
def test_what_cannot_be_taken_is_tried_again_a_day_later(
    world: Administration, web: Web, clock: HandClock, served: str | int
) -> None:
    before = add(world, web)
    web.documents["/idp"] = served
    clock.advance(days=1)

    assert (refresh(world), refresh(world)) == (1, 0)

    copy = stored(world, before).metadata
    assert copy is not None
    assert copy.failing_since == clock()
    assert stored(world, before).certificates == before.certificates
    assert news(world)[-1] == "metadata.failed"


def test_a_connection_that_goes_meanwhile_stops_nothing(
    world: Administration, web: Web, clock: HandClock
) -> None:
    connection = add(world, web)
    clock.advance(days=1)
    world.apply([RemoveConnection(connection.connection_id)])

    assert refresh(world) == 0
    with (
        open_outgoing(world.wiring.settings) as outgoing,
        pytest.raises(RefusedError, match="there is no connection"),
    ):
        refresh_connection(world, connection, outgoing)


def test_a_connection_that_goes_while_it_is_read_stops_nothing(
    world: Administration, web: Web, clock: HandClock
) -> None:
    connection = add(world, web)
    clock.advance(days=1)

    def go() -> str:
        world.apply([RemoveConnection(connection.connection_id)])
        return entity()

    web.documents["/idp"] = go

    assert (refresh(world), refresh(world)) == (1, 0)


def test_a_pending_domain_is_looked_up_often_and_a_verified_one_daily(
    world: Administration, clock: HandClock
) -> None:
    world.apply([ClaimDomain("acme.example", CHALLENGE)])
    zone: dict[str, list[Text]] = {}
    with serve_names(zone) as address:
        asked = make_resolver([address])
        assert (check_domains(world.wiring, asked), check_domains(world.wiring, asked)) == (1, 0)
        zone[NAME] = PROOF
        clock.advance(minutes=11)
        assert check_domains(world.wiring, asked) == 1
        assert state(world) == "verified"
        clock.advance(hours=23)
        assert check_domains(world.wiring, asked) == 0
        del zone[NAME]
        clock.advance(hours=2)
        check_domains(world.wiring, asked)
        assert state(world) == "missing"
        clock.advance(hours=72)
        check_domains(world.wiring, asked)

    assert state(world) == "suspended"
    assert news(world) == ["domain.claimed", "domain.verified", "domain.missing", "domain.suspended"]


def test_a_domain_that_is_anothers_stays_pending(world: Administration) -> None:
    other = another(world)
    other.apply([AddDomain("acme.example")])
    world.apply([ClaimDomain("acme.example", CHALLENGE)])
    with world.read() as reader:
        (claim,) = reader.sso.domain_claims()

    with serve_names({NAME: PROOF}) as address:
        proof, refusal = check_domain(world, claim, make_resolver([address]))

    assert proof is Proof.FOUND
    assert "is another organisation's" in refusal
    assert state(world) == "pending"


def test_the_settings_name_the_servers_that_are_asked(tmp_path: Path, clock: HandClock) -> None:
    with small_world(tmp_path, clock, USHER_DNS_SERVERS="127.0.0.1:5353") as administration:
        assert resolver(administration.wiring.settings).nameservers == ["127.0.0.1"]


def test_the_end_of_a_certificate_is_told_once_for_each_step(
    world: Administration, web: Web, clock: HandClock
) -> None:
    connection = add(world, web)
    (key,) = connection.keys
    assert note_ending_certificates(world.wiring) == 0

    for days, told in ((60, 1), (59, 0), (30, 1), (7, 1), (1, 1), (-1, 0)):
        clock.now = key.not_after
        clock.advance(days=-days)
        assert note_ending_certificates(world.wiring) == told, days

    assert news(world).count("certificate.expiring") == 4


def test_logins_that_are_past_are_deleted(world: Administration, clock: HandClock) -> None:
    wiring, now = world.wiring, clock()
    wiring.logins.insert_request(
        LoginRequest(
            request_id="_1",
            organisation_id=world.organisation_id,
            connection_id=ConnectionId(wiring.mint.id()),
            relay_state="opaque",
            browser_sha256=bytes(32),
            return_to="",
            created_at=now,
            expires_at=now + timedelta(minutes=15),
        )
    )
    assert delete_expired_logins(wiring) == 0

    clock.advance(days=2)

    assert delete_expired_logins(wiring) == 1
    assert wiring.logins.request("_1") is None
