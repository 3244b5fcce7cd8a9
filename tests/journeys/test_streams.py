"""Streams at the command line: added, tested, looked at, held back, sent again, removed."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.ports import EventQuery
from service.metrics import Metrics
from service.opening import open_database_as_is
from service.streams import StreamSender
from tests.certificates import make_certificates, today
from tests.journeys.shell import Shell
from tests.sealed import seal_log
from tests.streams.receivers import HTTPSReceiver, Reply


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPSReceiver]:
    folder = tmp_path / "tls"
    folder.mkdir()
    certificates = make_certificates(folder, now=today())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with HTTPSReceiver(certificates) as running:
        yield running


@pytest.fixture
def acme(shell: Shell) -> Shell:
    shell.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8,::1/128"
    shell.answer("environment", "load", "minut")
    shell.create("Acme Stays")
    return shell


def send(shell: Shell) -> int:
    """Seal what there is and let a process send it; the last position."""
    with open_database_as_is(shell.settings) as wiring:
        (organisation,) = wiring.store.organisations()
        last = seal_log(wiring, organisation.organisation_id)
        sender = StreamSender(wiring, Metrics())
        sender.pump()
        sender.close()
    return last


def test_a_stream_lives_from_add_to_remove(acme: Shell, receiver: HTTPSReceiver) -> None:
    added = acme.answer(
        "stream", "add", "SIEM", "--to", "webhook", "--set", f"url={receiver.url}", "--after", "-1"
    )
    secret = added.strip().rpartition(" ")[2]
    assert secret.startswith("whsec_")

    assert "answered 200" in acme.answer("stream", "test", "siem")
    last = send(acme)
    (row,) = json.loads(acme.answer("stream", "list", "--json"))
    assert (row["state"], row["position"], row["lag_events"]) == ("active", last, 0)
    shown = acme.answer("stream", "show", "SIEM")
    assert secret not in shown
    assert "signing_secret (..." in shown

    changed = acme.invoke(
        "stream", "set", "siem", "--secret-stdin", "second_signing_secret", stdin="second\n"
    )
    assert changed.exit_code == 0
    acme.answer("stream", "pause", "siem")
    acme.answer("stream", "resume", "siem")
    acme.answer("stream", "replay", "siem", "--after", "0")
    assert f"0 of {last}" in acme.answer("stream", "show", "siem")
    receiver.script.append(Reply(503))
    assert "answered 503" in acme.answer("stream", "test", "siem", code=3)
    assert "was told, and answered 200" in acme.answer("stream", "remove", "siem", "--yes")
    (last,) = receiver.received[-1].records("event")
    assert (last["body"]["action"], last["leaf_index"], last["last"]) == ("stream.removed", None, True)
    assert "test" not in last
    assert "no stream yet" in acme.answer("stream", "list")
    assert acme.invoke("stream", "show", "siem").exit_code == 1


def test_a_token_to_fetch_with_is_shown_once(acme: Shell) -> None:
    made = json.loads(acme.answer("stream", "add", "puller", "--to", "pull", "--json"))

    assert made["token"].startswith("ups_")
    assert made["token"] not in acme.answer("stream", "show", made["id"], "--json")
    refused = acme.invoke("stream", "test", "puller")
    assert refused.exit_code == 1
    assert "nothing is sent to a pull stream" in refused.stderr


def test_every_fault_of_a_stream_is_told(acme: Shell, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("canary-ä")
    refused = acme.invoke(
        *("stream", "add", "x", "--to", "elastic", "--set", "url=http://siem.example", "--set", "color=red"),
        *("--set", "port=99", "--secret-file", f"api_key={key}", "--secret-file", f"token={key}"),
    )

    assert refused.exit_code == 1
    for words in ("'index' is missing", "https://", "no setting 'color'", "not ASCII", "no secret 'token'"):
        assert words in refused.stderr
    assert "canary" not in refused.stderr
    assert acme.invoke("stream", "add", "x", "--to", "pull", "--set", "nothing").exit_code == 1
    with open_database_as_is(acme.settings) as wiring:
        (organisation,) = wiring.store.organisations()
        with wiring.unit_of_work(organisation.organisation_id).read() as reader:
            assert not [body for _, body in reader.events(EventQuery()) if b"canary" in body]


def test_without_its_client_a_stream_to_kafka_says_what_to_install(
    acme: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "stream",
        "add",
        "bus",
        "--to",
        "kafka",
        "--set",
        "brokers=kafka.example:9093",
        "--set",
        "topic=audit",
    )
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "aiokafka", None)
        refused = acme.invoke(*words)
    assert refused.exit_code == 1
    assert "pip install 'usher-sync[kafka]'" in refused.stderr
    assert "kafka kafka.example:9093 audit" in acme.answer(*words)
    assert "kafka kafka.example:9093 audit" in acme.answer("stream", "list")


def test_the_format_is_chosen_and_told(acme: Shell) -> None:
    words = (
        "stream",
        "add",
        "siem",
        "--to",
        "splunk",
        "--set",
        "url=https://splunk.example",
        "--secret-stdin",
        "token",
    )
    refused = acme.invoke(*words, "--set", "format=cef", stdin="canary")
    assert "setting 'format' is none of ocsf, ecs, canonical" in refused.stderr
    assert acme.invoke(*words, stdin="canary").exit_code == 0
    assert json.loads(acme.answer("stream", "show", "siem", "--json"))["format"] == "ocsf"
    acme.answer("stream", "set", "siem", "--set", "format=ecs")
    assert "ecs" in acme.answer("stream", "show", "siem")
