"""Host applications are told of ended sessions, over TLS, until they have taken it or a day is over."""

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from api.logout import LOGOUT_EVENT
from directory.changes import SetBlock
from directory.sso_changes import EndSessionsOf
from service.backchannel import (
    MOST_ATTEMPTS,
    ROTATE_AFTER,
    deliver_notices,
    rotate_signing_keys,
    tell_logouts,
)
from service.clients import remove_client
from tests.api.scene import Made, Scene, make_scene, open_scene
from tests.certificates import Certificates, KeyPair, make_certificates, today
from tests.service.worlds import OPERATOR
from web.outgoing import Outgoing, resolve_host
from web.targets import Targets

_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(slots=True)
class Application:
    """A host application's own server: what it was sent, and with what it answers."""

    url: str = ""
    status: int = 200
    bodies: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)


@contextmanager
def listening(keys: KeyPair) -> Iterator[Application]:
    application = Application()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            application.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            application.kinds.append(self.headers["Content-Type"])
            self.send_response(application.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.certificate, keys.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        application.url = f"https://localhost:{server.server_address[1]}/backchannel"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield application
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), now=today())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_scene(tmp_path_factory.mktemp("oidc"))


@pytest.fixture
def application(certificates: Certificates) -> Iterator[Application]:
    with listening(certificates.good) as opened:
        yield opened


@pytest.fixture
def scene(made: Made, tmp_path: Path, application: Application) -> Iterator[Scene]:
    with open_scene(made, tmp_path) as opened:
        opened.client = replace(opened.client, backchannel_logout_uri=application.url)
        opened.wiring.clients.put_client(opened.client)
        yield opened


@pytest.fixture
def outgoing(certificates: Certificates, scene: Scene) -> Iterator[Outgoing]:
    tls = ssl.create_default_context(cafile=str(certificates.authority))
    targets = Targets(allowed=_LOOPBACK, resolve=resolve_host)
    with Outgoing(targets, timer=lambda: scene.clock().timestamp(), tls=tls) as opened:
        yield opened


def waiting(scene: Scene, *, ahead: timedelta = timedelta(days=2)) -> int:
    return len(scene.wiring.clients.notices_due(scene.clock() + ahead, 100))


def test_a_deactivation_ends_the_session_at_the_application_too(
    scene: Scene, application: Application, outgoing: Outgoing
) -> None:
    sid = scene.claims(scene.tokens(scene.sign_in("anna"))["id_token"])["sid"]
    anna = scene.member("anna")
    assert tell_logouts(scene.wiring, outgoing) == 0
    scene.administration.apply([SetBlock(anna, "left")])

    assert tell_logouts(scene.wiring, outgoing) == 1

    assert application.kinds == ["application/x-www-form-urlencoded"]
    (token,) = parse_qs(application.bodies[0])["logout_token"]
    claims = scene.claims(token)
    assert (claims["sub"], claims["sid"], claims["aud"]) == (anna, sid, scene.client.client_id)
    assert claims["events"] == {LOGOUT_EVENT: {}}
    assert "nonce" not in claims
    assert waiting(scene) == 0
    assert tell_logouts(scene.wiring, outgoing) == 0


@pytest.mark.parametrize("status", [204, 200])
def test_an_answer_of_success_is_enough(
    scene: Scene, application: Application, outgoing: Outgoing, status: int
) -> None:
    application.status = status
    end(scene)

    assert tell_logouts(scene.wiring, outgoing) == 1


def end(scene: Scene, name: str = "anna") -> None:
    """Somebody signs in at the application, and then out."""
    scene.tokens(scene.sign_in(name))
    scene.administration.apply([EndSessionsOf(scene.member(name), "revoked")])


@pytest.mark.parametrize("status", [400, 500, 302, 404])
def test_one_that_does_not_take_it_is_asked_again_ever_more_seldom_for_a_day(
    scene: Scene, application: Application, outgoing: Outgoing, status: int
) -> None:
    application.status = status
    end(scene)
    began = scene.clock()
    waits: list[float] = []

    while waiting(scene):
        (notice,) = scene.wiring.clients.notices_due(scene.clock() + timedelta(days=2), 2)
        waits.append((notice.due_at - scene.clock()).total_seconds())
        scene.clock.now = max(scene.clock(), notice.due_at)
        assert tell_logouts(scene.wiring, outgoing) == 0

    assert len(application.bodies) == MOST_ATTEMPTS
    assert waits == sorted(waits)
    assert waits[1] == pytest.approx(30)
    assert timedelta(hours=20) < scene.clock() - began < timedelta(hours=30)


def test_one_that_comes_back_is_told_then(scene: Scene, application: Application, outgoing: Outgoing) -> None:
    application.status = 503
    end(scene)
    tell_logouts(scene.wiring, outgoing)
    application.status = 200
    assert tell_logouts(scene.wiring, outgoing) == 0

    scene.clock.advance(seconds=31)

    assert tell_logouts(scene.wiring, outgoing) == 1
    first, second = (parse_qs(body)["logout_token"][0] for body in application.bodies)
    assert scene.claims(first)["jti"] != scene.claims(second)["jti"]


def test_one_that_is_silent_is_asked_once_a_round(
    scene: Scene, application: Application, outgoing: Outgoing
) -> None:
    application.status = 503
    end(scene, "anna")
    end(scene, "ben")

    assert tell_logouts(scene.wiring, outgoing) == 0

    assert len(application.bodies) == 1
    assert waiting(scene) == 2


def test_an_address_that_nothing_listens_at_or_that_is_private_is_only_a_failed_attempt(
    scene: Scene, application: Application
) -> None:
    end(scene)
    with Outgoing(Targets(allowed=(), resolve=resolve_host), timer=lambda: 0.0) as guarded:
        assert tell_logouts(scene.wiring, guarded) == 0

    assert application.bodies == []
    assert waiting(scene) == 1


def test_who_is_registered_no_more_is_told_no_more(
    scene: Scene, application: Application, outgoing: Outgoing
) -> None:
    end(scene)
    remove_client(scene.wiring, scene.client, OPERATOR)

    assert tell_logouts(scene.wiring, outgoing) == 1

    assert application.bodies == []
    assert waiting(scene) == 0


def test_the_job_opens_a_way_out_only_where_there_is_something_to_say(
    scene: Scene, application: Application
) -> None:
    assert deliver_notices(scene.wiring) == 0
    end(scene)

    # The real way out goes to no private address.
    assert deliver_notices(scene.wiring) == 0

    assert application.bodies == []
    assert waiting(scene) == 1


def test_keys_are_changed_every_quarter(scene: Scene) -> None:
    assert not rotate_signing_keys(scene.wiring)

    scene.clock.advance(seconds=ROTATE_AFTER.total_seconds())

    assert rotate_signing_keys(scene.wiring)
    assert not rotate_signing_keys(scene.wiring)
