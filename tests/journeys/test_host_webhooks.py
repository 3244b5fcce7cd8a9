"""A host's developer: a webhook by one command, verified by the example, with a cursor to catch up."""

import importlib.util
import json
import re
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from provisioning.host_webhooks import HOST_EVENTS
from service.app import create_app
from service.metrics import Metrics
from service.opening import open_database_as_is
from service.streams import StreamSender
from tests.certificates import Certificates, make_certificates, today
from tests.journeys.shell import Shell
from tests.sealed import seal_log
from tests.streams.receivers import HTTPSReceiver

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "host_webhook.py"
GUIDE = (ROOT / "docs" / "guides" / "host-applications.md").read_text(encoding="utf-8")


class LateHost:
    """The example, put in when its secret is known."""

    def __init__(self) -> None:
        self.application: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:  # noqa: ANN401 - WSGI's own
        return self.application(environ, start_response)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    folder = tmp_path / "tls"
    folder.mkdir()
    made = make_certificates(folder, now=today())
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    return made


@pytest.fixture
def host(certificates: Certificates) -> Iterator[tuple[LateHost, str]]:
    late = LateHost()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.good.certificate, certificates.good.key)
    server = make_server("127.0.0.1", 0, late, threaded=True, ssl_context=context)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield late, f"https://localhost:{server.server_port}/usher"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def acme(shell: Shell) -> Shell:
    shell.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8,::1/128"
    shell.answer("environment", "load", "minut")
    shell.create("Acme Stays")
    return shell


def load_example(monkeypatch: pytest.MonkeyPatch, secret: str) -> ModuleType:
    monkeypatch.setenv("SIGNING_SECRET", secret)
    spec = importlib.util.spec_from_file_location("host_webhook", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def send(shell: Shell, turns: int = 2) -> None:
    with open_database_as_is(shell.settings) as wiring:
        for organisation in wiring.store.organisations():
            seal_log(wiring, organisation.organisation_id)
        for _ in range(turns):
            sender = StreamSender(wiring, Metrics())
            sender.pump()
            sender.wait()
            sender.close()


def test_a_host_is_told_of_every_customer_and_catches_up(
    acme: Shell,
    host: tuple[LateHost, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    late, url = host
    added = json.loads(
        acme.answer(
            *("webhook", "add", "Host", "--environment", "minut", "--url", url),
            *("--events", "members,grants", "--from-start", "--json"),
        )
    )
    example = load_example(monkeypatch, added["signing_secret"])
    late.application = example.app
    acme.create("Globex Homes", owner="gwen@globex.example")
    assert "answered 204" in acme.answer("webhook", "test", "host")
    send(acme)

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    by_organisation = {
        one["organisation_id"]: [each for each in told if each["organisation_id"] == one["organisation_id"]]
        for one in told
    }
    assert len(by_organisation) == 2
    for events in by_organisation.values():
        assert [one["type"] for one in events] == ["member.created", "role.granted"]
        assert [one["sequence"] for one in events] == sorted(one["sequence"] for one in events)
        assert (events[1]["role"], events[1]["scope"]) == ("Admin", "organisation")
    (row,) = json.loads(acme.answer("webhook", "list", "--json"))
    assert (row["state"], row["organisations"], row["behind"], row["lag_events"]) == ("active", 2, 0, 0)

    with open_database_as_is(acme.settings) as wiring:
        client = create_app(wiring).test_client()
        for organisation_id, events in by_organisation.items():
            page = client.get(
                f"/host/v1/events?organisation={organisation_id}",
                headers={"Authorization": f"Bearer {added['token']}"},
            ).get_json()
            assert [{**one, "organisation_id": organisation_id} for one in page["data"]["events"]] == events


def test_the_message_of_the_guide_is_like_a_real_one(acme: Shell, certificates: Certificates) -> None:
    _, text = re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    told = json.loads(text)
    with HTTPSReceiver(certificates) as receiver:
        add = ("webhook", "add", "Host", "--environment", "minut", "--url", receiver.url, "--from-start")
        acme.answer(*add)
        send(acme)

    real = receiver.received[0].document
    assert {name: type(value) for name, value in told.items()} == {
        name: type(value) for name, value in real.items()
    }
    assert told["data"].keys() == real["data"].keys()
    granted = next(event for event in real["data"]["events"] if event["type"] == "role.granted")
    assert told["data"]["events"][0].keys() == granted.keys()


def test_every_event_that_may_be_told_is_in_the_guide() -> None:
    section = GUIDE.partition("## Be told of changes")[2].partition("\n## ")[0]

    for actions in HOST_EVENTS.values():
        for action in actions:
            noun, _, verb = action.partition(".")
            assert f"`{noun}." in section
            assert f"{verb}`" in section


def test_a_message_of_somebody_else_is_refused_by_the_example(
    acme: Shell, host: tuple[LateHost, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, url = host
    late.application = load_example(monkeypatch, "whsec_c29tZWJvZHkgZWxzZQ==").app
    acme.answer("webhook", "add", "Host", "--environment", "minut", "--url", url, "--from-start")

    assert "answered 401" in acme.answer("webhook", "test", "host", code=3)
    send(acme)

    shown = acme.answer("webhook", "show", "host")
    assert "error" in shown
    assert "check the token or the key" in shown
    client = late.application.test_client()
    for headers in ({}, {"webhook-timestamp": "1"}, {"webhook-timestamp": "x"}):
        assert client.post("/usher", data=b"{}", headers=headers).status_code == 401


def test_a_webhook_lives_from_add_to_remove(acme: Shell, host: tuple[LateHost, str]) -> None:
    late, url = host
    late.application = Flask("host")
    assert "no webhook yet" in acme.answer("webhook", "list")
    added = acme.answer("webhook", "add", "Host", "--environment", "minut", "--url", url)
    secret = next(word for word in added.split() if word.startswith("whsec_"))
    token = next(word for word in added.split() if word.startswith("uph_"))

    shown = acme.answer("webhook", "show", "host")
    assert secret not in shown
    assert token not in shown
    assert "signing_secret (..." in shown
    acme.answer("webhook", "set", "host", "--events", "members", "--url", f"{url}/2")
    assert '"members"' in acme.answer("webhook", "show", "host", "--json")
    rotated = acme.answer("webhook", "rotate-secret", "host")
    assert "whsec_" in rotated
    acme.answer("webhook", "rotate-secret", "host", "--finish")
    acme.answer("webhook", "pause", "host")
    assert "paused" in acme.answer("webhook", "list")
    acme.answer("webhook", "resume", "host")
    send(acme)
    assert acme.invoke("webhook", "remove", "host", stdin="n\n").exit_code == 130
    acme.answer("webhook", "remove", "host", "--yes")
    assert "no webhook 'host'" in acme.fail(1, "webhook", "show", "host")


def test_what_is_wrong_with_a_webhook_is_told_in_words(acme: Shell) -> None:
    add = ("webhook", "add", "Host", "--environment", "minut", "--url", "http://host.example")
    assert "https://" in acme.fail(1, *add)
    assert "no events 'people'; name some of members" in acme.fail(1, *add, "--events", "people")
    other = ("webhook", "add", "Host", "--environment", "other", "--url", "https://host.example")
    assert "no environment 'other'" in acme.fail(1, *other)
    assert "no webhook yet" in acme.answer("webhook", "list")
