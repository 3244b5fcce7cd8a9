"""HTTPS webhook, signed as Standard Webhooks says, version 1.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from provisioning.ports import Clock
from streams.formats import Render
from streams.outcomes import Outcome
from streams.posting import Poster
from streams.records import Batch, render_record

EVENT_TYPE: Final = "usher.events"
_PREFIX: Final = "whsec_"


class Webhook:
    """Posts batches to a URL. While a secret is exchanged for another, both sign.

    What follows the URL's question mark is often a key, so it is a secret, too.
    """

    def __init__(
        self, poster: Poster, clock: Clock, render: Render, url: str, secrets: Mapping[str, bytes]
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._render = render
        query = secrets.get("query", b"").decode("ascii").removeprefix("?")
        self._url = f"{url}?{query}" if query else url
        self._keys = [
            parse_secret(secrets[name])
            for name in ("signing_secret", "second_signing_secret")
            if name in secrets
        ]

    def send(self, batch: Batch) -> Outcome:
        body = render_webhook(batch, self._render)
        timestamp = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": batch.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._keys, batch.id, timestamp, body),
        }
        return self._poster.post(self._url, body, headers)


def render_webhook(batch: Batch, render: Render = render_record) -> bytes:
    """The body: the same for every attempt, as far as no name was erased between two."""
    return b"".join(
        (
            b'{"data":{"first":%s,"last":%s,"records":[' % (_number(batch.first), _number(batch.last)),
            b",".join(map(render, batch.records)),
            b'],"replay":%s,"stream":"%s"},"type":"%s"}'
            % (b"true" if batch.is_replay else b"false", batch.stream_id.encode(), EVENT_TYPE.encode()),
        )
    )


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each key, a space between them."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in keys
    )


def parse_secret(secret: bytes) -> bytes:
    """The key in a secret of the form `whsec_<base64>`; another text is the key as it stands."""
    text = secret.decode("ascii")
    if not text.startswith(_PREFIX):
        return secret
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return secret


def render_secret(key: bytes) -> str:
    """A key as it is handed over."""
    return _PREFIX + base64.b64encode(key).decode()


def _number(value: int | None) -> bytes:
    return b"null" if value is None else b"%d" % value
