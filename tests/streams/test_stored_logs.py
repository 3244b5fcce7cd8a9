"""A whole log in a bucket or a container: set up at the command line, through a crash and an outage, and verified.

What is verified is what lies there, by somebody who has the objects, the key and `examples/verify_objects.py`.
"""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from audit import verifier
from audit.actors import AdminActor
from service.administration import Administration
from service.log_keys import load_log_keys
from service.metrics import Metrics
from service.opening import open_database_as_is
from service.streams import StreamSender
from tests.certificates import Certificates
from tests.journeys.shell import Shell
from tests.postgresql import DatabaseFactory
from tests.sealed import remove_events, seal_log
from tests.service.worlds import HandClock
from tests.streams.object_stores import REGION, Azurite, Moto, run_moto
from tests.streams.relay import Relay
from tests.streams.test_crash import CHILD
from tests.streams.test_s3 import policy

EXAMPLE = Path(__file__).parents[2] / "examples" / "verify_objects.py"
EVENT_LINE = b'"record":"event"'


class Service:
    """A service with one organisation, at the command line; its sealer and sender. It may reach this machine."""

    def __init__(self, shell: Shell) -> None:
        shell.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8,::1/128"
        shell.set_up()
        self.shell = shell
        self.clock = HandClock()
        # Commands go by the machine's clock, and what they make is due by then.
        self.clock.advance(minutes=5)
        self.organisation_id = shell.state().organisation_id

    def add(self, kind: str, secret: str, value: str, *options: str, **settings: str) -> str:
        """Add a stream from the first event on; what the command says."""
        path = self.shell.folder / "secret"
        path.write_text(f"{value}\n")
        given = [word for name, text in settings.items() for word in ("--set", f"{name}={text}")]
        return self.shell.answer(
            *("stream", "add", "store", "--to", kind, "--secret-file", f"{secret}={path}", "--after", "-1"),
            *given,
            *options,
        )

    def add_bucket(self, moto: Moto, bucket: str, endpoint: str = "") -> None:
        """A bucket of its own, and a stream to it by a key that may put and read objects below `usher/`."""
        moto.make_bucket(bucket)
        self.add(
            *("s3", "secret_access_key", "secret"),
            bucket=bucket,
            region=REGION,
            access_key_id="any",
            endpoint=endpoint or moto.url,
            prefix="usher",
        )

    def write(self, number: int = 1) -> int:
        """So many events more, sealed; the last position."""
        with open_database_as_is(self.shell.settings, clock=self.clock) as wiring:
            world = Administration(
                wiring, self.organisation_id, AdminActor("operator:test", is_operator=True)
            )
            for _ in range(number):
                world.record("log.read", ())
            return seal_log(wiring, self.organisation_id)

    def send(self, **later: float) -> Mapping[str, object]:
        """A turn of a process, two minutes later or as it is said; how the stream is behind it."""
        self.clock.now += timedelta(**(later or {"minutes": 2}))
        with open_database_as_is(self.shell.settings, clock=self.clock) as wiring:
            sender = StreamSender(wiring, Metrics())
            sender.pump()
            sender.wait()
            sender.close()
        (row,) = self.shell.json("stream", "list")
        found: Mapping[str, object] = row
        return found

    def verify(self, objects: Mapping[str, bytes]) -> str:
        """What the example says of the objects, in a folder that has nothing of Usher but the verifier."""
        folder = self.shell.folder / "auditor"
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in objects.items():
            path = folder / "objects" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        shutil.copy(EXAMPLE, folder)
        shutil.copy(verifier.__file__, folder)
        (vkey,) = load_log_keys(self.shell.settings).vkeys
        # `-S`: nothing that is installed can be found.
        done = subprocess.run(
            [sys.executable, "-S", "-E", "verify_objects.py", "objects", "--key", vkey],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr
        assert done.returncode == (0 if done.stdout.startswith("PASSED") else 1)
        return done.stdout


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(Shell(tmp_path))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def either_service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """On each kind of database."""
    if request.param == "sqlite":
        return Service(Shell(tmp_path))
    make: DatabaseFactory = request.getfixturevalue("postgresql_database")
    return Service(Shell(tmp_path, make()))


def leaves(objects: Mapping[str, bytes]) -> list[int]:
    """Positions in the order of the objects' names, as far as those sort by their numbers."""
    named = sorted(
        (name for name in objects if name.endswith(".jsonl.gz") and "/tests/" not in name), key=_first
    )
    lines = [line for name in named for line in gzip.decompress(objects[name]).splitlines()]
    return [orjson.loads(line)["leaf_index"] for line in lines if EVENT_LINE in line]


def _first(name: str) -> int:
    return int(name.rpartition("/")[2].partition("-")[0])


@pytest.mark.moto
def test_a_log_in_a_bucket_verifies_without_the_service(either_service: Service, moto: Moto) -> None:
    service = either_service
    bucket = f"verified-{service.organisation_id[-12:]}"
    moto.make_bucket(bucket)
    key_id, secret = moto.make_key(bucket, policy(bucket, "s3:PutObject"))
    with moto.enforcing():
        said = service.add(
            *("s3", "secret_access_key", secret),
            bucket=bucket,
            region=REGION,
            access_key_id=key_id,
            endpoint=moto.url,
            prefix="usher",
        )
        assert said == f"The stream store is added: s3 {moto.url}/{bucket}/usher/.\n"
        tested = service.shell.answer("stream", "test", "store")
        test = re.fullmatch(
            f"s3 {moto.url}/{bucket}/usher/: answered 200; the object is ([0-9a-z./-]+)\\.\n", tested
        )
        assert test is not None
        service.write(3)
        first = service.send()
        last = service.write(2)
        second = service.send()
    assert (first["state"], second["position"], second["lag_events"]) == ("active", last, 0)
    assert secret not in service.shell.answer("stream", "show", "store", "--json")

    objects = moto.objects(bucket)
    folder = f"usher/{service.organisation_id}"
    assert all(name.startswith(f"{folder}/") for name in objects)
    assert orjson.loads(gzip.decompress(objects[f"usher/{test.group(1)}"]))["test"] is True
    assert leaves(objects) == list(range(last + 1))
    assert service.verify(objects).startswith(f"PASSED: {last + 1} events of ")


@pytest.mark.moto
def test_what_was_changed_in_a_bucket_is_found(service: Service, moto: Moto) -> None:
    bucket = f"changed-{service.organisation_id[-12:]}"
    service.add_bucket(moto, bucket)
    service.write(3)
    service.send()
    middle = service.write(2)
    service.send()
    objects = moto.objects(bucket)
    assert service.verify(objects).startswith("PASSED")
    *_, name = (one for one in objects if one.endswith(f"-{middle}.jsonl.gz"))

    edited = gzip.decompress(objects[name]).replace(b"log.read", b"log.reed", 1)
    assert "are not those that were signed" in service.verify(objects | {name: gzip.compress(edited)})
    assert f"another event {middle}" in service.verify(
        objects
        | {
            name.replace(".jsonl", ".x.jsonl"): gzip.compress(
                edited.splitlines()[-1].replace(b"log.", b"lag.")
            )
        }
    )
    names = sorted((one for one in objects if one.endswith(".jsonl.gz")), key=_first)
    for number, missing in ((0, 0), (1, middle - 1)):
        kept = {one: content for one, content in objects.items() if one != names[number]}
        assert f"event {missing} is not here" in service.verify(kept)
    behind = {one: content for one, content in objects.items() if one != f"{names[1][:-9]}.checkpoint"}
    assert service.verify(behind).endswith("; 2 behind them have no checkpoint yet\n")
    note = name.replace(".jsonl.gz", ".checkpoint")
    assert "the signature by" in service.verify(objects | {note: objects[note].replace(b"\n", b"\n1", 1)})
    assert "no checkpoint" in service.verify({name: objects[name]})


@pytest.mark.moto
def test_a_batch_that_was_cut_off_by_kill_9_is_there_once(
    either_service: Service, moto: Moto, certificates: Certificates
) -> None:
    service = either_service
    bucket = f"killed-{service.organisation_id[-12:]}"
    with Relay(certificates, moto) as relay:
        relay.keeps = 1
        service.add_bucket(moto, bucket, relay.url)
        first = service.write(3)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("USHER_")}
        child = subprocess.Popen([sys.executable, "-c", CHILD], env={**environ, **service.shell.environ})
        assert relay.kept.wait(60)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        (stored,) = moto.objects(bucket).items()
        last = service.write()

        service.clock.advance(minutes=-5)
        held = service.send(seconds=1)
        done = service.send(minutes=10)

    # While the dead process's lease runs nobody else sends.
    assert (held["position"], done["position"]) == (-1, last)
    objects = moto.objects(bucket)
    assert stored[0].endswith(f"/0-{first}.jsonl.gz")
    assert objects[stored[0]] == stored[1]
    assert [name.rpartition("/")[2] for name in objects] == [
        f"0-{first}.checkpoint",
        f"0-{first}.jsonl.gz",
        f"{last}-{last}.checkpoint",
        f"{last}-{last}.jsonl.gz",
    ]
    assert ("HEAD", f"/{bucket}/{stored[0]}") in relay.passed
    assert service.verify(objects).startswith(f"PASSED: {last + 1} events")


@pytest.mark.moto
def test_an_outage_delays_and_loses_nothing(
    either_service: Service, moto: Moto, certificates: Certificates
) -> None:
    """A store whose process ends, and comes back at its port, empty as it is kept in memory."""
    service = either_service
    with run_moto(certificates) as before:
        service.add_bucket(before, "outage")
        first = service.write(3)
        service.send()
        early = before.objects("outage")
    service.write(2)
    outage = [service.send(minutes=10) for _ in range(3)]
    last = service.write(2)
    assert {one["state"] for one in outage} == {"backing_off"}
    assert {one["position"] for one in outage} == {first}
    assert all("cannot be reached" in str(one["trouble"]) for one in outage)

    with run_moto(certificates, port=int(before.url.rpartition(":")[2])) as after:
        after.make_bucket("outage")
        done = service.send(minutes=10)
        late = after.objects("outage")

    assert (done["state"], done["position"], done["lag_events"]) == ("active", last, 0)
    assert leaves(early) + leaves(late) == list(range(last + 1))
    assert service.verify(early | late).startswith(f"PASSED: {last + 1} events")


@pytest.mark.moto
def test_what_is_sealed_within_a_minute_is_gathered_into_one_object(service: Service, moto: Moto) -> None:
    bucket = f"gathered-{service.organisation_id[-12:]}"
    service.add_bucket(moto, bucket)
    first = service.write()
    service.send()
    for _ in range(4):
        service.write()
        assert service.send(seconds=10)["position"] == first
    last = service.write()
    assert service.send(seconds=20)["position"] == last

    names = [name.rpartition("/")[2] for name in moto.objects(bucket) if name.endswith(".jsonl.gz")]
    assert names == [f"0-{first}.jsonl.gz", f"{first + 1}-{last}.jsonl.gz"]

    service.shell.answer("stream", "set", "store", "--set", "gather_seconds=0")
    for _ in range(2):
        last = service.write()
        assert service.send(minutes=1)["position"] == last
    last = service.write()
    assert service.send(seconds=1)["position"] == last


@pytest.mark.moto
def test_a_replay_lies_beside_what_was_stored(service: Service, moto: Moto) -> None:
    bucket = f"replay-{service.organisation_id[-12:]}"
    service.add_bucket(moto, bucket)
    last = service.write(2)
    service.send()
    before = moto.objects(bucket)

    service.shell.answer("stream", "replay", "store", "--after", "-1")
    service.send()

    objects = moto.objects(bucket)
    assert before.items() <= objects.items()
    (name,) = (one for one in objects.keys() - before.keys() if one.endswith(".jsonl.gz"))
    assert name.endswith(f"/0-{last}.replay.jsonl.gz")
    assert service.verify(objects).startswith("PASSED")


@pytest.mark.moto
def test_a_fault_of_the_settings_stops_the_stream_in_words(service: Service, moto: Moto) -> None:
    bucket = f"wrong-{service.organisation_id[-12:]}"
    moto.make_bucket(bucket)
    key_id, secret = moto.make_key(bucket, policy(bucket, "s3:PutObject"))
    with moto.enforcing():
        service.add(
            *("s3", "secret_access_key", "not this one"),
            bucket=bucket,
            region=REGION,
            access_key_id=key_id,
            endpoint=moto.url,
            prefix="usher",
        )
        refused = service.shell.answer("stream", "test", "store", code=3)
        assert (
            "403 SignatureDoesNotMatch: the secret 'secret_access_key' does not belong to the key" in refused
        )
        service.write()
        assert service.send()["state"] == "error"

        changed = service.shell.invoke(
            "stream", "set", "store", "--secret-stdin", "secret_access_key", stdin=f"{secret}\n"
        )
        assert changed.exit_code == 0
        service.shell.answer("stream", "resume", "store")
        assert service.send()["state"] == "active"
    assert service.verify(moto.objects(bucket)).startswith("PASSED")


def test_settings_that_make_no_store_are_all_told(service: Service) -> None:
    path = service.shell.folder / "secret"
    path.write_text("canary")
    refused = service.shell.fail(
        1,
        *(
            "stream",
            "add",
            "store",
            "--to",
            "s3",
            "--secret-file",
            f"sas={path}",
            "--set",
            "bucket=Acme_Audit",
        ),
        *("--set", "prefix=../other", "--set", "endpoint=https://minio.example/path", "--set", "format=ocsf"),
        *(
            "--set",
            "object_lock=FOREVER",
            "--set",
            "gather_seconds=3601",
            "--set",
            "encryption=rot13",
            "--set",
            "access_key_id=a b",
        ),
    )

    for words in (
        "setting 'region' is missing",
        "the secret 'secret_access_key' is missing",
        "setting 'bucket' is no name of a bucket",
        "setting 'prefix' has other characters",
        "setting 'endpoint' must be https:// and a host name, without a path",
        "setting 'gather_seconds' is no number of seconds from 0 to 3600",
        "setting 'object_lock' is no mode with days: GOVERNANCE:30, COMPLIANCE:400",
        "setting 'encryption' is neither AES256, aws:kms, nor the ARN of a key in KMS",
        "setting 'access_key_id' is no id of an access key",
        "setting 'format' is none of canonical",
        "has no secret 'sas'",
    ):
        assert words in refused
    assert "canary" not in refused


@pytest.mark.azurite
def test_a_log_in_a_container_verifies_without_the_service(either_service: Service, azurite: Azurite) -> None:
    service = either_service
    container = f"verified-{service.organisation_id[-12:]}"
    url = azurite.make_container(container)
    said = service.add("azure_blob", "sas", azurite.signature(container, "rc"), url=url)
    assert said == f"The stream store is added: azure_blob {url}/.\n"
    assert "answered 201" in service.shell.answer("stream", "test", "store")
    service.write(3)
    service.send()
    last = service.write(2)
    assert service.send()["position"] == last

    objects = azurite.objects(container)
    assert leaves(objects) == list(range(last + 1))
    assert service.verify(objects).startswith(f"PASSED: {last + 1} events of ")


@pytest.mark.azurite
def test_a_blob_whose_acknowledgement_was_lost_is_there_once(
    service: Service, azurite: Azurite, certificates: Certificates
) -> None:
    container = f"lost-{service.organisation_id[-12:]}"
    url = azurite.make_container(container)
    with Relay(certificates, azurite) as relay:
        relay.drops = 1
        service.add(
            "azure_blob", "sas", azurite.signature(container, "rc"), url=url.replace(azurite.url, relay.url)
        )
        last = service.write(3)
        failed = service.send()
        done = service.send(minutes=10)

    assert (failed["state"], done["position"]) == ("backing_off", last)
    assert [name.rpartition("/")[2] for name in azurite.objects(container)] == [
        f"0-{last}.checkpoint",
        f"0-{last}.jsonl.gz",
    ]


@pytest.mark.moto
def test_what_the_retention_removed_is_named_in_its_place(service: Service, moto: Moto) -> None:
    bucket = f"gap-{service.organisation_id[-12:]}"
    service.add_bucket(moto, bucket)
    last = service.write(3)
    with open_database_as_is(service.shell.settings) as wiring:
        remove_events(wiring.database, service.organisation_id, 0, last)
    service.send()

    objects = moto.objects(bucket)
    assert [name.partition(f"{service.organisation_id}/")[2] for name in objects] == [
        f"gaps/0-{last}.checkpoint",
        f"gaps/0-{last}.jsonl.gz",
    ]
    (content,) = (body for name, body in objects.items() if name.endswith(".gz"))
    assert json.loads(gzip.decompress(content)) == {"from": 0, "record": "stream.gap", "to": last}
    assert "the retention had removed it" in service.verify(objects)
