"""The service over TLS on this machine, with a connection to an identity provider that somebody else has written."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.serving import make_server
from werkzeug.wsgi import LimitedStream

from audit.body import EventBody
from provisioning.logins import StoredSession
from service.app import create_app
from service.opening import open_database_as_is
from service.wiring import utc_now
from tests.browser import Browser, Page
from tests.certificates import Certificates
from tests.idps.provider import ADA, Person, Provider
from tests.journeys.shell import OWNER, Shell
from tests.journeys.test_running import free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

NAME = "Corporate"


@dataclass(slots=True)
class AheadClock:
    """The machine's clock, which identity providers go by, and how far ours is ahead of it."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass(frozen=True, slots=True)
class Stage:
    """The service, which answers, and the provider that the connection is to."""

    shell: Shell
    idp: Provider
    base: str
    authority: Path
    clock: AheadClock

    def browser(self) -> Browser:
        return Browser(str(self.authority))

    def connect(self, *options: str) -> None:
        """Add the connection with the provider's metadata, and let the provider read ours from its address."""
        metadata = str(self.idp.write_metadata())
        words = ["connection", "add", NAME, "--metadata", metadata, "--preset", self.idp.preset, *options]
        self.shell.answer(*words)
        self.introduce()
        self.shell.mark()

    def introduce(self) -> None:
        """Let the provider read our metadata from its address."""
        with self.browser() as browser:
            page = browser.get(self.shell.json("connection", "show", NAME)["entity_id"])
        assert page.status == 200
        assert page.headers["Content-Type"] == "application/samlmetadata+xml"
        self.idp.register(page.text)

    def login_url(self) -> str:
        connection = self.shell.json("connection", "show", NAME)["id"]
        return f"{self.base}/saml/{connection}/login"

    def sign_in(self, browser: Browser, person: Person = ADA, *, url: str = "") -> Page:
        """From an address of ours over the provider's form to where the answer leads."""
        page = browser.carry(browser.get(url or self.login_url()))
        if page.url.startswith(self.idp.url):
            page = browser.submit(page, "username", username=person.name, password=person.password)
        return browser.carry(page)

    def sessions(self) -> list[StoredSession]:
        with self.shell.read() as reader:
            return reader.sso.sessions(None, self.clock(), 100)

    def news(self) -> list[EventBody]:
        """Events since this was last asked."""
        return self.shell.new_events()

    def actions(self) -> list[str]:
        return [body["action"] for body in self.news()]

    def reasons(self) -> list[tuple[str, str]]:
        """Of each event, its action and its reason."""
        return [(body["action"], body["reason"]["code"] if "reason" in body else "") for body in self.news()]


def _bounded(app: "WSGIApplication") -> "WSGIApplication":
    """End a body where it was said to end, as the servers do that the service is run on."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        return app({**environ, "wsgi.input": LimitedStream(environ["wsgi.input"], length)}, start_response)

    return answer


@contextmanager
def staged(
    shell: Shell,
    idp: Provider,
    certificates: Certificates,
    *,
    domain: str = "acme.example",
    owner: str = OWNER,
) -> Iterator[Stage]:
    """Serve Acme Stays, whose domain is verified, at an https address; it ends with the context."""
    port, clock = free_port(), AheadClock()
    base = f"https://localhost:{port}"
    shell.environ["USHER_PUBLIC_URL"] = base
    shell.set_up(plan="Pro", owner=owner)
    if domain:
        shell.answer("organisation", "add-domain", domain)
    with open_database_as_is(shell.settings, clock=clock) as wiring:
        keys = certificates.good
        server = make_server(
            "127.0.0.1",
            port,
            _bounded(create_app(wiring)),
            threaded=True,
            ssl_context=(str(keys.certificate), str(keys.key)),
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Stage(shell, idp, base, certificates.authority, clock)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
