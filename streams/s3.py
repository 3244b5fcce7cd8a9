"""Amazon S3 and what speaks its protocol. Requests are signed here and sent through the one door.

Objects are made with `If-None-Match: *`, so that what is there stays.

Source: Amazon S3 API Reference, PutObject, HeadObject, "Error responses"; "Authenticating Requests: Using the
Authorization Header (AWS Signature Version 4)".
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from provisioning.ports import Clock
from provisioning.stream_settings import Setting, find_object_root
from streams.objects import DIGEST_KEY, StoredObject, There
from streams.outcomes import Outcome, Verdict
from streams.posting import Poster
from web.outgoing import Answer

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "s3"
_END: Final = "aws4_request"
_EMPTY: Final = hashlib.sha256(b"").hexdigest()
# Names of metadata are written with hyphens here: some servers in between drop an underscore.
_DIGEST_HEADER: Final = f"x-amz-meta-{DIGEST_KEY.replace('_', '-')}"
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
_KMS: Final = "aws:kms"
_ARN: Final = "arn:"


@dataclass(frozen=True, slots=True)
class S3Key:
    """What requests are signed with."""

    access_key_id: str
    secret: str = field(repr=False)
    region: str


class S3:
    """A bucket, below a prefix."""

    def __init__(
        self, poster: Poster, clock: Clock, settings: Mapping[str, Setting], secrets: Mapping[str, bytes]
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._root = find_object_root(settings)
        self._key = S3Key(
            str(settings["access_key_id"]),
            secrets["secret_access_key"].decode("ascii"),
            str(settings["region"]),
        )
        self._encryption = str(settings.get("encryption") or "")
        self._lock = str(settings.get("object_lock") or "")

    def create(self, key: str, stored: StoredObject) -> Outcome | There:
        now = self._clock()
        headers = {
            "Content-Type": stored.content_type,
            "If-None-Match": "*",
            "X-Amz-Checksum-Sha256": b64encode(hashlib.sha256(stored.content).digest()).decode(),
            "X-Amz-Sdk-Checksum-Algorithm": "SHA256",
            _DIGEST_HEADER: stored.digest,
            **encryption_headers(self._encryption),
            **lock_headers(self._lock, now),
        }
        url = self._root + key
        signed = sign(self._key, "PUT", url, headers, hashlib.sha256(stored.content).hexdigest(), now)
        outcome, answer = self._poster.put(url, stored.content, signed)
        return outcome if answer is None else judge_s3(outcome, answer)

    def find_digest(self, key: str) -> str | Outcome | None:
        url = self._root + key
        outcome, answer = self._poster.head(url, sign(self._key, "HEAD", url, {}, _EMPTY, self._clock()))
        if answer is not None and answer.status == 404:
            return None
        if answer is None or outcome.verdict is not Verdict.TAKEN:
            return outcome
        return answer.headers.get(_DIGEST_HEADER, "")


def judge_s3(outcome: Outcome, answer: Answer) -> Outcome | There:
    """What an answer to a PUT says.

    Of the body only the code counts, and only one that is known: an event is never what is wrong with it.
    """
    if outcome.verdict is Verdict.TAKEN:
        return outcome
    if answer.status == 412:
        return There()
    found = _CODE.search(answer.body)
    code = found.group(1).decode("ascii") if found else ""
    if known := _KNOWN.get(code):
        verdict, words = known
        return Outcome(verdict, f"answered {answer.status} {code}: {words}", outcome.retry_seconds)
    if answer.status in {301, 307, 308}:
        return Outcome(Verdict.REFUSED, f"answered {answer.status}: {_OTHER_REGION}")
    if answer.status == 409:
        return Outcome(Verdict.LATER, "answered 409: somebody else was writing the same object")
    if answer.status == 501:
        return Outcome(Verdict.REFUSED, f"answered 501: {_NO_CONDITIONS}")
    if outcome.verdict is Verdict.UNFIT:
        return Outcome(Verdict.REFUSED, f"{outcome.text}; check the settings of the stream and of the bucket")
    return outcome


_OTHER_REGION: Final = (
    "the bucket is in another region; correct the setting 'region', and 'endpoint' if there is one"
)
_NO_CONDITIONS: Final = "the store lacks something that is asked of it, such as writing with 'If-None-Match'"
_KNOWN: Final[Mapping[str, tuple[Verdict, str]]] = MappingProxyType(
    {
        "AccessDenied": (
            Verdict.REFUSED,
            "the key may not write there; it needs s3:PutObject below the prefix, s3:PutObjectRetention for object "
            "lock, and the use of the bucket's key in KMS",
        ),
        "AllAccessDisabled": (Verdict.REFUSED, "the owner of the bucket has closed it"),
        "AuthorizationHeaderMalformed": (Verdict.REFUSED, _OTHER_REGION),
        "IllegalLocationConstraintException": (Verdict.REFUSED, _OTHER_REGION),
        "InvalidAccessKeyId": (Verdict.REFUSED, "the store does not know the setting 'access_key_id'"),
        "InvalidRequest": (
            Verdict.REFUSED,
            "the bucket does not take it so; is object lock switched on there, and does its encryption fit?",
        ),
        "KMS.DisabledException": (Verdict.REFUSED, "the key in KMS is disabled"),
        "MalformedPolicy": (Verdict.REFUSED, "the policy of the bucket cannot be read"),
        "NoSuchBucket": (
            Verdict.REFUSED,
            "there is no such bucket; create it, or correct the setting 'bucket'",
        ),
        "NotImplemented": (Verdict.REFUSED, _NO_CONDITIONS),
        "ObjectLockConfigurationNotFoundError": (
            Verdict.REFUSED,
            "object lock is not switched on for the bucket",
        ),
        "PermanentRedirect": (Verdict.REFUSED, _OTHER_REGION),
        "RequestTimeTooSkewed": (
            Verdict.LATER,
            "the clock of this machine or of the store is wrong by more than 15 minutes",
        ),
        "RequestTimeout": (Verdict.LATER, "the connection was too slow"),
        "SignatureDoesNotMatch": (
            Verdict.REFUSED,
            "the secret 'secret_access_key' does not belong to the key",
        ),
        "TemporaryRedirect": (Verdict.LATER, "the bucket is new, and not yet known everywhere"),
    }
)


def encryption_headers(encryption: str) -> dict[str, str]:
    """What asks for encryption: `AES256`, `aws:kms`, or with the KMS key of this ARN."""
    if encryption.startswith(_ARN):
        return {
            "X-Amz-Server-Side-Encryption": _KMS,
            "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": encryption,
        }
    return {"X-Amz-Server-Side-Encryption": encryption} if encryption else {}


def lock_headers(lock: str, now: datetime) -> dict[str, str]:
    """What keeps an object from being removed: mode and days, as `COMPLIANCE:400`."""
    mode, _, days = lock.partition(":")
    if not days:
        return {}
    until = now + timedelta(days=int(days))
    return {
        "X-Amz-Object-Lock-Mode": mode,
        "X-Amz-Object-Lock-Retain-Until-Date": f"{until:%Y-%m-%dT%H:%M:%SZ}",
    }


def sign(
    key: S3Key, method: str, url: str, headers: Mapping[str, str], payload_sha256: str, now: datetime
) -> dict[str, str]:
    """The headers with what authenticates them. All of them are signed.

    The path of `url` has no character that would have to be encoded, and there is no query.
    Source: "Authenticating Requests (AWS Signature Version 4)", "Transferring Payload in a Single Chunk".
    """
    parts = urlsplit(url)
    at = f"{now:%Y%m%dT%H%M%SZ}"
    sent = {**headers, "X-Amz-Content-Sha256": payload_sha256, "X-Amz-Date": at}
    named = {name.lower(): value.strip() for name, value in {**sent, "Host": parts.netloc}.items()}
    names = ";".join(sorted(named))
    lines = "".join(f"{name}:{named[name]}\n" for name in sorted(named))
    request = f"{method}\n{parts.path}\n\n{lines}\n{names}\n{payload_sha256}"
    scope = f"{at[:8]}/{key.region}/{_SERVICE}/{_END}"
    text = f"{_ALGORITHM}\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    step = f"AWS4{key.secret}".encode()
    for part in (at[:8], key.region, _SERVICE, _END):
        step = hmac.digest(step, part.encode(), "sha256")
    signature = hmac.digest(step, text.encode(), "sha256").hex()
    credential = f"{key.access_key_id}/{scope}"
    return {
        **sent,
        "Authorization": f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}",
    }
