"""A destination for each kind of stream."""

import contextlib
from collections.abc import Iterator

from provisioning.ports import Clock
from provisioning.streaming import HeldLane
from streams.azure_blob import AzureBlob
from streams.datadog import Datadog
from streams.delivery import Destination
from streams.elastic import Elastic
from streams.formats import form_of
from streams.kafka import Kafka
from streams.objects import FindCheckpoint, Objects, Store
from streams.posting import Poster
from streams.s3 import S3
from streams.sentinel import Sentinel, Tokens
from streams.splunk import Splunk
from streams.syslog import Syslog
from streams.webhook import Webhook
from web.outgoing import Outgoing
from web.targets import Targets


class Destinations:
    """Opens destinations over the process's ways out."""

    def __init__(
        self,
        outgoing: Outgoing,
        targets: Targets,
        clock: Clock,
        *,
        hostname: str,
        find_checkpoint: FindCheckpoint = lambda _organisation, _position: None,
    ) -> None:
        self._poster = Poster(outgoing, clock)
        self._targets = targets
        self._clock = clock
        self._hostname = hostname
        self._tokens = Tokens()
        self._find_checkpoint = find_checkpoint

    @contextlib.contextmanager
    def open(self, held: HeldLane) -> Iterator[Destination]:
        """The destination of a stream, for as long as it is entered."""
        destination = self.make(held)
        try:
            yield destination
        finally:
            if isinstance(destination, Kafka):
                destination.close()

    def make(self, held: HeldLane) -> Destination:
        """What sends for the stream."""
        settings, secrets = held.stream.settings, held.secrets
        poster, clock = self._poster, self._clock
        form = form_of(held.stream, clock)
        match held.stream.kind:
            case "webhook":
                return Webhook(poster, clock, form.render, str(settings["url"]), secrets)
            case "splunk":
                return Splunk(poster, clock, form.render, settings, secrets)
            case "datadog":
                return Datadog(poster, clock, form.render, settings, secrets)
            case "elastic":
                return Elastic(poster, clock, form, settings, secrets)
            case "kafka":
                return Kafka(self._targets, form, settings, secrets)
            case "sentinel":
                return Sentinel(poster, clock, form.render, self._tokens, settings, secrets)
            case "syslog":
                return Syslog(self._targets, clock, form, settings, secrets, hostname=self._hostname)
            case "s3":
                return self._objects(held, S3(poster, clock, settings, secrets))
            case "azure_blob":
                return self._objects(held, AzureBlob(poster, settings, secrets))
            case kind:
                raise ValueError(f"nothing is sent to a stream of the kind '{kind}'")

    def _objects(self, held: HeldLane, store: Store) -> Objects:
        render = form_of(held.stream, self._clock).render
        return Objects(store, held.stream.organisation_id, self._find_checkpoint, render)
