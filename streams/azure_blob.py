"""Azure Blob Storage, signed in to by a shared access signature, which need not allow more than to create blobs.

Blobs are made with `If-None-Match: *`, so that what is there stays.

Source: Azure Storage REST API, "Put Blob", "Get Blob Properties", "Blob service error codes".
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from provisioning.stream_settings import Setting, find_object_root
from streams.objects import DIGEST_KEY, StoredObject, There
from streams.outcomes import Outcome, Verdict
from streams.posting import Poster
from web.outgoing import Answer

_VERSION: Final = "2021-12-02"
_TOKEN: Final = re.compile(r"[A-Za-z0-9%&=+/:,._~-]{1,1500}", re.ASCII)
_DIGEST_HEADER: Final = f"x-ms-meta-{DIGEST_KEY}"


class AzureBlob:
    """A container, below a prefix."""

    def __init__(self, poster: Poster, settings: Mapping[str, Setting], secrets: Mapping[str, bytes]) -> None:
        self._poster = poster
        self._root = find_object_root(settings)
        # Whoever gives the whole address that the portal shows means what follows its question mark.
        self._token = secrets["sas"].decode("ascii").rpartition("?")[2]

    def create(self, key: str, stored: StoredObject) -> Outcome | There:
        if _TOKEN.fullmatch(self._token) is None:
            return Outcome(Verdict.REFUSED, "cannot be signed in to: the secret 'sas' is no sv=...&sig=...")
        headers = {
            "x-ms-version": _VERSION,
            "Content-Type": stored.content_type,
            "If-None-Match": "*",
            "x-ms-blob-type": "BlockBlob",
            _DIGEST_HEADER: stored.digest,
        }
        outcome, answer = self._poster.put(self._address(key), stored.content, headers)
        return outcome if answer is None else judge_azure(outcome, answer)

    def find_digest(self, key: str) -> str | Outcome | None:
        outcome, answer = self._poster.head(self._address(key), {"x-ms-version": _VERSION})
        if answer is not None and answer.status == 404:
            return None
        if answer is None or outcome.verdict is not Verdict.TAKEN:
            return outcome
        return answer.headers.get(_DIGEST_HEADER, "")

    def _address(self, key: str) -> str:
        return f"{self._root}{key}?{self._token}"


def judge_azure(outcome: Outcome, answer: Answer) -> Outcome | There:
    """What an answer to a PUT says. An event is never what is wrong with it."""
    if outcome.verdict is Verdict.TAKEN:
        return outcome
    code = answer.headers.get("x-ms-error-code", "")
    if answer.status == 412 or code in _THERE_ALREADY:
        return There()
    if known := _KNOWN.get(code):
        verdict, words = known
        told = Outcome(verdict, f"answered {answer.status} {code}: {words}", outcome.retry_seconds)
        return There(or_else=told) if code == _NOT_PERMITTED else told
    if outcome.verdict is Verdict.UNFIT:
        return Outcome(
            Verdict.REFUSED, f"{outcome.text}; check the settings of the stream and of the container"
        )
    return outcome


# Whoever may create and not write may be told of a blob that is there by the code that says that nothing may be done.
_NOT_PERMITTED: Final = "AuthorizationPermissionMismatch"
_THERE_ALREADY: Final = frozenset(
    {
        "BlobAlreadyExists",
        "BlobImmutableDueToPolicy",
        "BlobImmutableDueToLegalHold",
        "UnauthorizedBlobOverwrite",
    }
)
_KNOWN: Final[Mapping[str, tuple[Verdict, str]]] = MappingProxyType(
    {
        "AccountIsDisabled": (Verdict.REFUSED, "the storage account is disabled"),
        "AuthenticationFailed": (
            Verdict.REFUSED,
            "the secret 'sas' is wrong, has run out, or begins later; make a new one",
        ),
        "AuthorizationFailure": (
            Verdict.REFUSED,
            "the storage account lets in neither this address nor this signature; has it run out? See the network "
            "rules",
        ),
        _NOT_PERMITTED: (
            Verdict.REFUSED,
            "the shared access signature must allow to create blobs in the container (sr=c, sp=rc)",
        ),
        "AuthorizationProtocolMismatch": (Verdict.REFUSED, "the shared access signature is not for HTTPS"),
        "AuthorizationResourceTypeMismatch": (
            Verdict.REFUSED,
            "the shared access signature must be for the objects of the container",
        ),
        "AuthorizationSourceIPMismatch": (
            Verdict.REFUSED,
            "the shared access signature is for other addresses than that of this machine",
        ),
        "ContainerBeingDeleted": (Verdict.LATER, "the container is being deleted"),
        "ContainerNotFound": (
            Verdict.REFUSED,
            "there is no such container; create it, or correct the setting 'url'",
        ),
        "InvalidResourceName": (Verdict.REFUSED, "the setting 'url' does not name a container"),
        "KeyBasedAuthenticationNotPermitted": (
            Verdict.REFUSED,
            "the storage account takes no signatures by its keys; sign with a user delegation key",
        ),
        "ResourceNotFound": (Verdict.REFUSED, "there is nothing at the setting 'url'"),
        "ServerBusy": (Verdict.LATER, "the storage account is busy"),
    }
)
