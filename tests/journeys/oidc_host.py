"""The service and a host application as two web servers, and a browser between them."""

import importlib.util
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask
from werkzeug.serving import make_server

from tests.api.scene import Made, Scene, open_scene

EXAMPLE = Path(__file__).parents[2] / "examples" / "host_app.py"
VERIFIER = "a-verifier-of-the-application-43-letters-long"
_PATIENCE = 60


class Late:
    """An application that is put in when its address is known."""

    def __init__(self) -> None:
        self.application: Callable[[Any, Any], Iterable[bytes]] = Flask("nobody")

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's own
        return self.application(environ, start_response)


@contextmanager
def serving(application: Late) -> Iterator[str]:
    """A web server; its address."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True)
class Host:
    """A host application by Authlib's client, beside a browser of somebody who may be signed in."""

    scene: Scene
    issuer: str
    callback: str
    browser: requests.Session

    @property
    def discovery(self) -> dict[str, Any]:
        answer = self.browser.get(f"{self.issuer}/.well-known/openid-configuration", timeout=_PATIENCE)
        found: dict[str, Any] = answer.json()
        return found

    def client(self, **changes: Any) -> OAuth2Session:  # noqa: ANN401 - the client's own
        asked = {"scope": "openid email", "redirect_uri": self.callback, "code_challenge_method": "S256"}
        session = OAuth2Session(self.scene.client.client_id, self.scene.secret, **{**asked, **changes})
        session.trust_env = False
        return session

    def sign_in(self, name: str = "anna") -> None:
        """Have the browser hold a session, as after a login."""
        self.browser.cookies.set("usher_session", self.scene.sign_in(name), domain="127.0.0.1", path="/")

    def land(self, client: OAuth2Session, **more: str) -> str:
        """The address that the browser is led back to."""
        url, _ = client.create_authorization_url(
            self.discovery["authorization_endpoint"], code_verifier=VERIFIER, nonce="n-1", **more
        )
        answer = self.browser.get(url, allow_redirects=False, timeout=_PATIENCE)
        where = answer.headers["Location"]
        assert where.startswith(f"{self.callback}?")
        return where

    def exchange(self, client: OAuth2Session, landed: str, **changes: str) -> dict[str, Any]:
        said = {"code_verifier": VERIFIER, **changes}
        found: dict[str, Any] = client.fetch_token(
            self.discovery["token_endpoint"], authorization_response=landed, timeout=_PATIENCE, **said
        )
        return found

    def refresh(self, client: OAuth2Session, token: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = client.refresh_token(
            self.discovery["token_endpoint"], refresh_token=token["refresh_token"], timeout=_PATIENCE
        )
        return found


@contextmanager
def hosted(made: Made, folder: Path) -> Iterator[Host]:
    """The service at an address of its own, with an application registered that comes back to `callback`."""
    late, callback = Late(), "http://127.0.0.1:1/callback"
    with (
        serving(late) as issuer,
        open_scene(made, folder, USHER_PUBLIC_URL=issuer) as scene,
        requests.Session() as browser,
    ):
        late.application = scene.http.application
        scene.client, scene.secret = scene.register("Hosted", redirect_uris=[callback])
        browser.trust_env = False
        yield Host(scene, issuer, callback, browser)


@contextmanager
def sample_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The sample application, run as it is; its address."""
    late = Late()
    with serving(late) as address:
        host.scene.client, host.scene.secret = host.scene.register(
            "Sample", redirect_uris=[f"{address}/callback"], logout_uris=[f"{address}/bye"]
        )
        client_id, secret = host.scene.client.client_id, host.scene.secret
        late.application = load_sample(monkeypatch, host.issuer, client_id, secret)
        yield address


def load_sample(monkeypatch: pytest.MonkeyPatch, issuer: str, client_id: str, secret: str) -> Flask:
    """The sample application, as its environment configures it."""
    monkeypatch.setenv("ISSUER", issuer)
    monkeypatch.setenv("CLIENT_ID", client_id)
    monkeypatch.setenv("CLIENT_SECRET", secret)
    found = importlib.util.spec_from_file_location("host_app", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    application: Flask = module.app
    return application


def query_of(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
