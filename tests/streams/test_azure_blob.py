"""Azure Blob Storage: what a shared access signature has to allow, and each answer in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from directory.ids import OrganisationId
from provisioning.stream_settings import find_stream_faults
from streams.azure_blob import AzureBlob, judge_azure
from streams.objects import Objects, StoredObject, There, name_batch, pack
from streams.outcomes import Outcome, Verdict, judge
from streams.posting import Poster
from streams.records import Batch, EventRecord
from tests.certificates import Certificates
from tests.streams.object_stores import Azurite
from tests.streams.test_objects import NOTE
from tests.streams.test_syslog import LOOPBACK, NOW, STREAM, event
from web.outgoing import Answer, Outgoing, resolve_host
from web.targets import Targets

BATCH = Batch(STREAM, (EventRecord(event(2)), EventRecord(event(3))), 2, 3)
NAME = f"usher/org/{name_batch(BATCH)}"
STORED = StoredObject("a", ".txt", b"content", "text/plain", "digest")


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))


@contextmanager
def store(url: str, sas: str, targets: Targets | None = None) -> Iterator[AzureBlob]:
    guard = targets or Targets(LOOPBACK, resolve_host)
    with Outgoing(guard, timer=lambda: 0.0) as outgoing:
        settings: dict[str, str | int | bool] = {"url": url, "prefix": "usher"}
        yield AzureBlob(Poster(outgoing, lambda: NOW), settings, {"sas": sas.encode()})


def send(url: str, sas: str) -> Outcome:
    with store(url, sas) as opened:
        return Objects(opened, OrganisationId("org"), lambda _organisation, _position: NOTE).send(BATCH)


@pytest.mark.azurite
def test_a_signature_that_may_create_blobs_and_nothing_else_is_enough(azurite: Azurite) -> None:
    url = azurite.make_container("create")
    sas = azurite.signature("create", "c")

    outcomes = [send(url, sas)]
    assert azurite.objects("create") == {f"{NAME}.checkpoint": NOTE.encode(), f"{NAME}.jsonl.gz": pack(BATCH)}
    outcomes.append(send(url, sas))

    assert outcomes[0].text == f"answered 201; the object is {NAME.removeprefix('usher/')}.jsonl.gz"
    assert outcomes[1].verdict is Verdict.TAKEN
    lines = [body for name, body in azurite.objects("create").items() if name.endswith(".jsonl.gz")]
    assert lines == [pack(BATCH)] * 2


@pytest.mark.azurite
def test_a_signature_that_may_read_too_keeps_repetitions_one_blob(azurite: Azurite) -> None:
    url = azurite.make_container("read-and-create")
    sas = azurite.signature("read-and-create", "rc")

    outcomes = [send(url, sas) for _ in range(3)]

    assert [one.verdict for one in outcomes] == [Verdict.TAKEN] * 3
    assert outcomes[-1].text == "holds the object already"
    assert len(azurite.objects("read-and-create")) == 2


@pytest.mark.azurite
def test_a_signature_that_may_write_over_blobs_does_not(azurite: Azurite) -> None:
    url = azurite.make_container("write")
    sas = azurite.signature("write", "rw")
    with store(url, sas) as opened:
        assert isinstance(opened.create(f"org/{name_batch(BATCH)}.jsonl.gz", STORED), Outcome)

    outcome = send(url, sas)

    assert outcome.verdict is Verdict.REFUSED
    assert "holds another object" in outcome.text
    assert azurite.objects("write") == {f"{NAME}.jsonl.gz": b"content"}


@pytest.mark.azurite
def test_wrong_signatures_and_containers_are_told_apart(azurite: Azurite) -> None:
    url = azurite.make_container("strict")
    nowhere = url.replace("strict", "nowhere")

    outcomes = [
        send(url, azurite.signature("strict", "r")),
        send(url, azurite.signature("strict", "rc", ends="2020-01-01T00:00:00Z")),
        send(url, azurite.signature("nowhere", "rc")),
        send(nowhere, azurite.signature("nowhere", "rc")),
        send(url, "a signature"),
    ]

    assert {one.verdict for one in outcomes} == {Verdict.REFUSED}
    assert [one.text.partition(":")[0] for one in outcomes] == [
        "answered 403 AuthorizationPermissionMismatch",
        "answered 403 AuthorizationFailure",
        "answered 403 AuthorizationFailure",
        "answered 404 ContainerNotFound",
        "cannot be signed in to",
    ]
    assert azurite.objects("strict") == {}


@pytest.mark.azurite
def test_the_whole_address_that_the_portal_shows_is_understood(azurite: Azurite) -> None:
    url = azurite.make_container("portal")

    assert send(url, f"{url}?{azurite.signature('portal', 'c')}").verdict is Verdict.TAKEN


@pytest.mark.azurite
def test_a_private_address_is_refused_before_anything_is_sent(azurite: Azurite) -> None:
    with store(f"{azurite.url}/any/any", "sv=1&sig=1", Targets((), resolve_host)) as opened:
        made, found = opened.create("key", STORED), opened.find_digest("key")

    for outcome in (made, found):
        assert isinstance(outcome, Outcome)
        assert outcome.verdict is Verdict.REFUSED
        assert "not public" in outcome.text


@pytest.mark.azurite
def test_what_is_not_there_has_no_digest(azurite: Azurite) -> None:
    url = azurite.make_container("empty")

    with store(url, azurite.signature("empty", "r")) as opened:
        assert opened.find_digest("nothing") is None


@pytest.mark.parametrize(
    ("status", "code", "verdict", "words"),
    [
        (201, "", Verdict.TAKEN, "answered 201"),
        (400, "", Verdict.REFUSED, "answered 400; check the settings"),
        (403, "AuthenticationFailed", Verdict.REFUSED, "run out"),
        (403, "SomethingNew", Verdict.REFUSED, "answered 403"),
        (404, "ResourceNotFound", Verdict.REFUSED, "nothing at the setting 'url'"),
        (409, "ContainerBeingDeleted", Verdict.LATER, "being deleted"),
        (409, "AccountIsDisabled", Verdict.REFUSED, "disabled"),
        (500, "InternalError", Verdict.LATER, "answered 500"),
        (503, "ServerBusy", Verdict.LATER, "busy"),
    ],
)
def test_each_answer_is_put_in_words(status: int, code: str, verdict: Verdict, words: str) -> None:
    outcome = judge_azure(judge(status, {}, NOW), Answer(status, {"x-ms-error-code": code}, b"canary"))

    assert isinstance(outcome, Outcome)
    assert outcome.verdict is verdict
    assert words in outcome.text
    assert "canary" not in outcome.text
    assert "SomethingNew" not in outcome.text


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "BlobAlreadyExists"),
        (409, "BlobImmutableDueToPolicy"),
        (412, "ConditionNotMet"),
        (403, "UnauthorizedBlobOverwrite"),
    ],
)
def test_a_blob_that_is_there_is_no_fault(status: int, code: str) -> None:
    answer = Answer(status, {"x-ms-error-code": code}, b"")

    assert judge_azure(judge(status, {}, NOW), answer) == There()


def test_a_signature_in_the_address_is_refused_before_it_is_stored() -> None:
    settings: dict[str, str | int | bool] = {"url": "https://acme.blob.core.windows.net/audit?sig=canary"}

    (fault,) = find_stream_faults("azure_blob", settings, {"sas": b"sig=1"})

    assert fault == (
        "setting 'url' must be the https:// address of a container; "
        "what follows its question mark is the secret 'sas'"
    )
