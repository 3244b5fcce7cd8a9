"""Whether a bearer token opens a directory. Outwards a refusal never says why; only our own log may."""

from datetime import datetime
from enum import StrEnum

from directory.ids import DirectoryId
from provisioning.resources import StoredToken
from web.tokens import is_same

_NO_DIGEST = bytes(32)


class Verdict(StrEnum):
    """What is found. All but the last two are the same 401 to the client."""

    MISSING = "missing"
    UNKNOWN = "unknown"
    WRONG = "wrong"
    OTHER_DIRECTORY = "other_directory"
    REVOKED = "revoked"
    EXPIRED = "expired"
    PAUSED = "paused"
    OPEN = "open"

    @property
    def is_known_client(self) -> bool:
        """Whether the token is good; the directory may still be paused, which is said aloud."""
        return self in {Verdict.PAUSED, Verdict.OPEN}


def judge(text: str, directory_id: str, token: StoredToken | None, now: datetime) -> Verdict:
    """Judge the text of a token for a directory, by the row that its prefix found.

    The digest is worked out and compared in every case, so that the time does not tell whether there is such a row.
    A directory id that is not there is only another directory's, and answered alike.
    """
    is_right = is_same(text, _NO_DIGEST if token is None else token.sha256)
    if not text:
        return Verdict.MISSING
    if token is None:
        return Verdict.UNKNOWN
    if not is_right:
        return Verdict.WRONG
    if token.directory_id != DirectoryId(directory_id.lower()):
        return Verdict.OTHER_DIRECTORY
    if token.revoked_at is not None:
        return Verdict.REVOKED
    if token.expires_at is not None and token.expires_at <= now:
        return Verdict.EXPIRED
    return Verdict.PAUSED if token.settings.get("paused") is True else Verdict.OPEN
