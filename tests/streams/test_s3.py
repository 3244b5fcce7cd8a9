"""S3: signatures that others compute too, what is asked of a bucket, and each answer in words."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from directory.ids import OrganisationId
from provisioning.stream_settings import find_object_root
from streams.objects import Objects, StoredObject, There, name_batch, pack
from streams.outcomes import Outcome, Verdict, judge
from streams.posting import Poster
from streams.records import Batch, EventRecord
from streams.s3 import S3, S3Key, encryption_headers, judge_s3, sign
from tests.certificates import Certificates, today
from tests.streams.object_stores import REGION, Moto
from tests.streams.test_objects import NOTE
from tests.streams.test_syslog import LOOPBACK, NOW, STREAM, event
from web.outgoing import Answer, Outgoing, resolve_host
from web.targets import Targets

GUIDE = Path("docs/guides/siem.md").read_text(encoding="utf-8")
BATCH = Batch(STREAM, (EventRecord(event(2)), EventRecord(event(3))), 2, 3)
NAME = f"usher/org/{name_batch(BATCH)}"
STORED = StoredObject("a", ".txt", b"content", "text/plain", "digest")

# From "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", its examples.
EXAMPLE = S3Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
EXAMPLE_AT = datetime(2013, 5, 24, tzinfo=UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))


def policy(bucket: str, *actions: str) -> Mapping[str, object]:
    """What the guide gives: nothing but these, below the prefix."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": f"arn:aws:s3:::{bucket}/usher/*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


@contextmanager
def store(moto: Moto, bucket: str, key: tuple[str, str] = ("any", "secret"), **settings: str) -> Iterator[S3]:
    named = {
        "bucket": bucket,
        "region": REGION,
        "access_key_id": key[0],
        "endpoint": moto.url,
        "prefix": "usher",
        **settings,
    }
    with Outgoing(Targets(LOOPBACK, resolve_host), timer=lambda: 0.0) as outgoing:
        # By the machine's own clock: a store looks at its own.
        yield S3(Poster(outgoing, today), today, named, {"secret_access_key": key[1].encode()})


def send(
    moto: Moto, bucket: str, key: tuple[str, str] = ("any", "secret"), batch: Batch = BATCH, **settings: str
) -> Outcome:
    with store(moto, bucket, key, **settings) as opened:
        return Objects(opened, OrganisationId("org"), lambda _organisation, _position: NOTE).send(batch)


def test_signatures_are_those_of_the_examples() -> None:
    got = sign(
        EXAMPLE,
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        {"Range": "bytes=0-9"},
        EMPTY,
        EXAMPLE_AT,
    )
    put = sign(
        EXAMPLE,
        "PUT",
        "https://examplebucket.s3.amazonaws.com/test%24file.text",
        {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        EXAMPLE_AT,
    )

    assert got["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    assert put["Authorization"].endswith(
        "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )


@pytest.mark.parametrize(
    ("settings", "root"),
    [
        ({"bucket": "acme-audit", "region": "eu-west-1"}, "https://acme-audit.s3.eu-west-1.amazonaws.com/"),
        ({"bucket": "acme.audit", "region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/acme.audit/"),
        (
            {"bucket": "b-b", "region": "r", "endpoint": "https://minio.example:9000/", "prefix": "/a/b/"},
            "https://minio.example:9000/b-b/a/b/",
        ),
    ],
)
def test_a_bucket_has_its_address(settings: dict[str, str | int | bool], root: str) -> None:
    assert find_object_root(settings) == root


@pytest.mark.moto
def test_a_key_that_may_put_objects_and_nothing_else_is_enough(moto: Moto) -> None:
    moto.make_bucket("only-put")
    key = moto.make_key("only-put", policy("only-put", "s3:PutObject"))

    with moto.enforcing():
        outcome = send(moto, "only-put", key)

    assert outcome == Outcome(
        Verdict.TAKEN, f"answered 200; the object is {NAME.removeprefix('usher/')}.jsonl.gz"
    )
    assert moto.objects("only-put") == {f"{NAME}.checkpoint": NOTE.encode(), f"{NAME}.jsonl.gz": pack(BATCH)}


@pytest.mark.moto
def test_the_policy_of_the_guide_is_enough(moto: Moto) -> None:
    moto.make_bucket("guide")
    user, bucket = (
        json.loads(found.replace("acme-audit", "guide"))
        for found in re.findall("```json\n(.+?)```", GUIDE, re.S)
    )
    key = moto.make_key("guide", user)

    with moto.enforcing():
        outcomes = [send(moto, "guide", key) for _ in range(2)]

    assert [one.text[:12] for one in outcomes] == ["answered 200", "holds the ob"]
    assert user["Statement"][0]["Action"] == bucket["Statement"][0]["Action"]
    assert user["Statement"][0]["Resource"] == bucket["Statement"][0]["Resource"]


@pytest.mark.moto
def test_a_key_that_may_read_too_keeps_repetitions_one_object(moto: Moto) -> None:
    moto.make_bucket("put-and-get")
    key = moto.make_key("put-and-get", policy("put-and-get", "s3:PutObject", "s3:GetObject"))

    with moto.enforcing():
        outcomes = [send(moto, "put-and-get", key) for _ in range(3)]

    assert [one.verdict for one in outcomes] == [Verdict.TAKEN] * 3
    assert outcomes[-1].text == "holds the object already"
    assert len(moto.objects("put-and-get")) == 2


@pytest.mark.moto
def test_a_repetition_without_reading_loses_nothing(moto: Moto) -> None:
    moto.make_bucket("only-put-again")
    key = moto.make_key("only-put-again", policy("only-put-again", "s3:PutObject"))

    with moto.enforcing():
        outcomes = [send(moto, "only-put-again", key) for _ in range(3)]

    assert [one.verdict for one in outcomes] == [Verdict.TAKEN] * 3
    lines = [body for name, body in moto.objects("only-put-again").items() if name.endswith(".jsonl.gz")]
    assert lines == [pack(BATCH)] * 2


@pytest.mark.moto
def test_another_object_of_the_name_stays_and_is_told(moto: Moto) -> None:
    moto.make_bucket("taken-name")
    moto.call("PUT", f"taken-name/{NAME}.jsonl.gz", b"somebody else's")

    outcome = send(moto, "taken-name")

    assert outcome.verdict is Verdict.REFUSED
    assert "holds another object" in outcome.text
    assert moto.objects("taken-name") == {f"{NAME}.jsonl.gz": b"somebody else's"}


@pytest.mark.moto
def test_wrong_keys_buckets_and_permissions_are_told_apart(moto: Moto) -> None:
    moto.make_bucket("strict")
    key = moto.make_key("strict", policy("strict", "s3:PutObject"))
    reader = moto.make_key("reader", policy("strict", "s3:GetObject"))
    anywhere = moto.make_key("anywhere", policy("*", "s3:*"))

    with moto.enforcing():
        outcomes = [
            send(moto, "strict", (key[0], "another secret")),
            send(moto, "strict", ("AKIAANOTHER", key[1])),
            send(moto, "strict", reader),
            send(moto, "strict", key, prefix="elsewhere"),
            send(moto, "nowhere", anywhere),
        ]

    assert {one.verdict for one in outcomes} == {Verdict.REFUSED}
    codes = [one.text.partition(":")[0] for one in outcomes]
    assert codes == [
        "answered 403 SignatureDoesNotMatch",
        "answered 403 InvalidAccessKeyId",
        "answered 403 AccessDenied",
        "answered 403 AccessDenied",
        "answered 404 NoSuchBucket",
    ]
    assert moto.objects("strict") == {}


@pytest.mark.moto
def test_objects_are_locked_and_encrypted_as_they_are_to_be(moto: Moto) -> None:
    moto.make_bucket("locked", has_lock=True)

    assert send(moto, "locked", object_lock="COMPLIANCE:400", encryption="aws:kms").verdict is Verdict.TAKEN

    headers = {
        name.lower(): value for name, value in moto.call("HEAD", f"locked/{NAME}.jsonl.gz").headers.items()
    }
    assert headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert headers["x-amz-object-lock-retain-until-date"] > f"{today().year + 1}"
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["content-type"] == "application/gzip"


@pytest.mark.moto
def test_a_private_address_is_refused_before_anything_is_sent(moto: Moto) -> None:
    with Outgoing(Targets((), resolve_host), timer=lambda: 0.0) as outgoing:
        settings: dict[str, str | int | bool] = {
            "bucket": "any",
            "region": REGION,
            "access_key_id": "any",
            "endpoint": moto.url,
        }
        opened = S3(Poster(outgoing, today), today, settings, {"secret_access_key": b"secret"})
        made, found = opened.create("key", STORED), opened.find_digest("key")

    for outcome in (made, found):
        assert isinstance(outcome, Outcome)
        assert outcome.verdict is Verdict.REFUSED
        assert "not public" in outcome.text


@pytest.mark.moto
def test_what_is_not_there_has_no_digest(moto: Moto) -> None:
    moto.make_bucket("empty")

    with store(moto, "empty") as opened:
        assert opened.find_digest("nothing") is None


@pytest.mark.parametrize(
    ("status", "code", "verdict", "words"),
    [
        (200, "", Verdict.TAKEN, "answered 200"),
        (301, "PermanentRedirect", Verdict.REFUSED, "another region"),
        (301, "", Verdict.REFUSED, "another region"),
        (307, "TemporaryRedirect", Verdict.LATER, "the bucket is new"),
        (400, "AuthorizationHeaderMalformed", Verdict.REFUSED, "another region"),
        (400, "InvalidRequest", Verdict.REFUSED, "object lock"),
        (400, "RequestTimeout", Verdict.LATER, "too slow"),
        (400, "KMS.DisabledException", Verdict.REFUSED, "disabled"),
        (400, "SomethingNew", Verdict.REFUSED, "answered 400; check the settings"),
        (403, "RequestTimeTooSkewed", Verdict.LATER, "clock"),
        (403, "SomethingNew", Verdict.REFUSED, "answered 403"),
        (404, "", Verdict.LATER, "answered 404"),
        (409, "ConditionalRequestConflict", Verdict.LATER, "writing the same object"),
        (501, "NotImplemented", Verdict.REFUSED, "If-None-Match"),
        (501, "", Verdict.REFUSED, "If-None-Match"),
        (503, "SlowDown", Verdict.LATER, "answered 503"),
    ],
)
def test_each_answer_is_put_in_words(status: int, code: str, verdict: Verdict, words: str) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>canary" if code else ""
    answer = Answer(status, {}, body.encode())

    outcome = judge_s3(judge(status, {}, NOW), answer)

    assert isinstance(outcome, Outcome)
    assert outcome.verdict is verdict
    assert words in outcome.text
    assert "canary" not in outcome.text
    assert "SomethingNew" not in outcome.text


@pytest.mark.parametrize(
    ("encryption", "headers"),
    [
        ("", {}),
        ("AES256", {"X-Amz-Server-Side-Encryption": "AES256"}),
        (
            "arn:aws:kms:eu-central-1:111122223333:key/k",
            {
                "X-Amz-Server-Side-Encryption": "aws:kms",
                "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "arn:aws:kms:eu-central-1:111122223333:key/k",
            },
        ),
    ],
)
def test_encryption_is_asked_for_as_it_is_set(encryption: str, headers: dict[str, str]) -> None:
    assert encryption_headers(encryption) == headers


def test_an_object_that_is_there_is_no_fault() -> None:
    assert judge_s3(judge(412, {}, NOW), Answer(412, {}, b"")) == There()
