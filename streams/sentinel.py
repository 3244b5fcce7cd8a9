"""Microsoft Sentinel by the Logs Ingestion API of Azure Monitor, signed in to as an application.

Source: Microsoft, "Logs Ingestion API in Azure Monitor" (REST call, api-version 2023-01-01), "Azure Monitor service
limits" (1 MB a call, packed or not), "OAuth 2.0 client credentials flow on the Microsoft identity platform".
"""

import gzip
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlencode

import orjson

from provisioning.ports import Clock
from provisioning.stream_settings import Setting
from streams.formats import Render
from streams.outcomes import Outcome, Verdict
from streams.posting import Poster
from streams.records import Batch, Record, record_id, record_time, render_moment

MOST_BYTES: Final = 1_000_000
"""Of one call, before it is packed."""

_AUTHORITY: Final = "https://login.microsoftonline.com"
_AUDIENCE: Final = "https://monitor.azure.com"
_API_VERSION: Final = "2023-01-01"
# Of a token's life this much is not used, so that none ends on its way.
_SPARE: Final = timedelta(minutes=5)
_TOKEN_BYTES: Final = 65_536
_LONGEST_LIFE: Final = 86_400
_MOST_TOKENS: Final = 500


@dataclass(frozen=True, slots=True)
class Token:
    """What calls are made with until `ends_at`."""

    text: str = field(repr=False)
    ends_at: datetime


class Tokens:
    """The tokens of one process, by who they are for. Safe between threads."""

    def __init__(self) -> None:
        self._tokens: dict[bytes, Token] = {}
        self._lock = threading.Lock()

    def get(self, key: bytes, now: datetime) -> Token | None:
        """A token with some life left."""
        with self._lock:
            found = self._tokens.get(key)
        return found if found is not None and now < found.ends_at else None

    def put(self, key: bytes, token: Token, now: datetime) -> None:
        with self._lock:
            self._tokens = {one: kept for one, kept in self._tokens.items() if now < kept.ends_at}
            if len(self._tokens) < _MOST_TOKENS:
                self._tokens[key] = token

    def drop(self, key: bytes) -> None:
        """It was not taken."""
        with self._lock:
            self._tokens.pop(key, None)


class Sentinel:
    """Sends batches to one stream of a data collection rule, a megabyte at a time."""

    def __init__(
        self,
        poster: Poster,
        clock: Clock,
        render: Render,
        tokens: Tokens,
        settings: Mapping[str, Setting],
        secrets: Mapping[str, bytes],
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._render = render
        self._tokens = tokens
        self._url = (
            f"{str(settings['url']).rstrip('/')}/dataCollectionRules/{settings['rule']}"
            f"/streams/{quote(str(settings['stream']), safe='')}?api-version={_API_VERSION}"
        )
        authority = str(settings.get("authority") or _AUTHORITY).rstrip("/")
        self._token_url = f"{authority}/{quote(str(settings['tenant']), safe='')}/oauth2/v2.0/token"
        # Two strokes: the audience ends in one. Source: the sample of the Logs Ingestion API.
        scope = f"{str(settings.get('audience') or _AUDIENCE).rstrip('/')}//.default"
        self._form = urlencode(
            {
                "client_id": str(settings["client_id"]),
                "client_secret": secrets["client_secret"].decode("ascii"),
                "grant_type": "client_credentials",
                "scope": scope,
            }
        ).encode("ascii")
        self._key = sha256(self._token_url.encode() + b"\n" + self._form).digest()

    def send(self, batch: Batch) -> Outcome:
        now = self._clock()
        outcome = Outcome(Verdict.TAKEN, "nothing to send")
        for body in split_rows([self._row(record, now) for record in batch.records]):
            outcome = self._call(body)
            if outcome.verdict is not Verdict.TAKEN:
                # What went before comes again with it, under the same ids.
                return outcome
        return outcome

    def _row(self, record: Record, now: datetime) -> bytes:
        """A rule's columns: when, the id by which a repetition is known, and the record whole."""
        return orjson.dumps(
            {
                "TimeGenerated": render_moment(record_time(record, now)),
                "RecordId": record_id(record),
                "Record": orjson.Fragment(self._render(record)),
            }
        )

    def _call(self, body: bytes) -> Outcome:
        """One call; with a new token once, when the one at hand is not taken."""
        token = self._tokens.get(self._key, self._clock())
        if token is not None:
            outcome, status = self._post(body, token)
            if status != 401:
                return outcome
            self._tokens.drop(self._key)
        fresh = self._sign_in()
        if isinstance(fresh, Outcome):
            return fresh
        outcome, status = self._post(body, fresh)
        if status in {401, 403}:
            self._tokens.drop(self._key)
        if status == 403:
            text = f"{outcome.text}; the application needs the role Monitoring Metrics Publisher on the rule"
            return replace(outcome, text=text)
        return outcome

    def _post(self, body: bytes, token: Token) -> tuple[Outcome, int]:
        headers = {
            "Authorization": f"Bearer {token.text}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        packed = gzip.compress(body, compresslevel=6, mtime=0)
        outcome, answer = self._poster.ask(self._url, packed, headers)
        return outcome, answer.status if answer is not None else 0

    def _sign_in(self) -> Token | Outcome:
        now = self._clock()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        outcome, answer = self._poster.ask(self._token_url, self._form, headers, max_bytes=_TOKEN_BYTES)
        if outcome.verdict is Verdict.LATER or answer is None:
            return replace(outcome, text=f"signing in: {outcome.text}")
        if outcome.verdict is not Verdict.TAKEN:
            return Outcome(
                Verdict.REFUSED,
                f"signing in was answered {answer.status}; check tenant, client_id and client_secret",
            )
        token = parse_token(answer.body, now)
        if token is None:
            return Outcome(Verdict.LATER, "signing in brought no token; is this the authority's address?")
        self._tokens.put(self._key, token, now)
        return token


def parse_token(body: bytes, now: datetime) -> Token | None:
    """The token of an answer; None where there is none. Source: RFC 6749 section 5.1."""
    try:
        read = orjson.loads(body)
        text, seconds = read["access_token"], min(int(read["expires_in"]), _LONGEST_LIFE)
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        return None
    return Token(text, now + timedelta(seconds=seconds) - _SPARE)


def split_rows(rows: Sequence[bytes]) -> Iterator[bytes]:
    """Lists of as many rows as a call holds, and of one that alone is too long for it."""
    taken: list[bytes] = []
    size = 2
    for row in rows:
        if taken and size + len(row) + 1 > MOST_BYTES:
            yield b"[" + b",".join(taken) + b"]"
            taken, size = [], 2
        taken.append(row)
        size += len(row) + 1
    if taken:
        yield b"[" + b",".join(taken) + b"]"
