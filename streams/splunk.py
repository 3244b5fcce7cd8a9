"""Splunk HTTP Event Collector. An answer of 200 says that events were accepted, not that they are indexed.

Source: Splunk, "Format events for HTTP Event Collector".
"""

import gzip
from collections.abc import Mapping

import orjson

from provisioning.ports import Clock
from provisioning.stream_settings import TOKEN, Setting
from streams.formats import Render
from streams.outcomes import Outcome
from streams.posting import Poster
from streams.records import Batch, record_time


class Splunk:
    """Posts batches to an Event Collector."""

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
        self._token = secrets[TOKEN].decode("ascii")
        self._fields = {
            "source": settings.get("source") or "usher",
            "sourcetype": settings.get("sourcetype") or "_json",
            **({"index": settings["index"]} if settings.get("index") else {}),
        }

    def send(self, batch: Batch) -> Outcome:
        now = self._clock()
        events = [
            orjson.dumps(
                {
                    **self._fields,
                    "event": orjson.Fragment(self._render(record)),
                    "host": "usher",
                    "time": f"{record_time(record, now).timestamp():.3f}",
                }
            )
            for record in batch.records
        ]
        # The same octets for the same batch: no time of packing.
        body = gzip.compress(b"\n".join(events), compresslevel=6, mtime=0)
        headers = {
            "Authorization": f"Splunk {self._token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        return self._poster.post(self._url, body, headers)
