"""Datadog's intake of logs, version 2. It answers 202; what it does not keep it does not tell.

Source: Datadog, "Send logs", POST /api/v2/logs: at most 1,000 entries and 5 MB of one request.
"""

import gzip
from collections.abc import Mapping

import orjson

from provisioning.ports import Clock
from provisioning.stream_settings import Setting
from streams.formats import Render
from streams.outcomes import Outcome
from streams.posting import Poster
from streams.records import Batch, record_time


class Datadog:
    """Posts batches to the intake."""

    def __init__(
        self,
        poster: Poster,
        clock: Clock,
        render: Render,
        settings: Mapping[str, Setting],
        secrets: Mapping[str, bytes],
    ) -> None:
        self._poster = poster
        self._clock = clock
        self._render = render
        self._url = str(settings["url"])
        self._key = secrets["api_key"].decode("ascii")
        self._fields = {
            "ddsource": "usher",
            "service": settings.get("service") or "usher",
            **({"ddtags": settings["tags"]} if settings.get("tags") else {}),
        }

    def send(self, batch: Batch) -> Outcome:
        now = self._clock()
        entries = [
            {
                **self._fields,
                # A text, as the interface has it; one that is JSON is taken apart there.
                "message": self._render(record).decode(),
                "timestamp": int(record_time(record, now).timestamp() * 1000),
            }
            for record in batch.records
        ]
        headers = {
            "DD-API-KEY": self._key,
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        body = gzip.compress(orjson.dumps(entries), compresslevel=6, mtime=0)
        return self._poster.post(self._url, body, headers)
