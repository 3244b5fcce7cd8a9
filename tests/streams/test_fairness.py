"""Two hundred streams on one worker: one receiver that does not answer delays nobody else."""

import threading
from collections import Counter

from directory.ids import EnvironmentId, StreamId
from directory.stream_changes import PutStream
from service.administration import Administration
from service.metrics import Metrics
from service.organisations import NewOrganisation, create_organisation
from service.streams import StreamSender
from storage.lanes import MOST_OF_ONE
from streams.breaker import Breakers
from streams.webhook import render_secret
from tests.certificates import Certificates
from tests.sealed import seal_log
from tests.service.worlds import OPERATOR
from tests.streams.receivers import HTTPSReceiver, Reply

SECRETS = {"signing_secret": render_secret(b"k" * 32).encode()}


def organisations(world: Administration, number: int) -> list[Administration]:
    made = [
        create_organisation(
            NewOrganisation(
                f"Organisation {place}", EnvironmentId("minut"), "o@acme.example", "O", plan="Pro"
            ),
            wiring=world.wiring,
            actor=OPERATOR,
        )
        for place in range(number - 1)
    ]
    return [world, *(Administration(world.wiring, one.organisation_id, OPERATOR) for one in made)]


def add_streams(administration: Administration, *urls: str) -> None:
    administration.apply(
        [
            PutStream(
                StreamId(administration.wiring.mint.id()),
                f"stream {number}",
                "webhook",
                {"url": url},
                SECRETS,
                after=-1,
            )
            for number, url in enumerate(urls)
        ]
    )


def test_one_that_hangs_delays_none_of_two_hundred(
    world: Administration, receiver: HTTPSReceiver, certificates: Certificates
) -> None:
    go = threading.Event()
    receiver.rule = lambda _got: Reply(wait=go)
    with HTTPSReceiver(certificates) as quick:
        # The one whose receiver hangs comes first with all that it has, and its streams are the longest due.
        stalled, *others = organisations(world, 5)
        add_streams(stalled, *[receiver.url] * 50)
        for one in others:
            add_streams(one, *[quick.url] * 37, receiver.url)
        seal_log(world.wiring, world.organisation_id)
        sender = StreamSender(world.wiring, Metrics())

        begun = sender.pump()
        is_most_there = quick.wait_for(MOST_OF_ONE)
        sender.pump()
        is_all_there = quick.wait_for(4 * 37)
        hanging = len(receiver.received)
        go.set()
        sender.close()

    assert is_most_there
    assert is_all_there
    assert begun == hanging + 4 <= 8
    assert (
        Counter(got.headers["webhook-id"].partition(".")[0] for got in quick.received).most_common(1)[0][1]
        == 1
    )


def test_a_receiver_that_failed_gets_one_delivery_at_a_time() -> None:
    breakers = Breakers(lambda: 0.0)
    assert breakers.enter("a")
    breakers.leave("a", has_failed=True)

    assert [breakers.enter("a") for _ in range(2)] == [True, False]
    breakers.leave("a", has_failed=False)
    assert [breakers.enter("a") for _ in range(4)] == [True] * 4


def test_one_organisation_leaves_threads_to_others(world: Administration, certificates: Certificates) -> None:
    go = threading.Event()
    receivers = [HTTPSReceiver(certificates) for _ in range(5)]
    for one in receivers[:4]:
        one.rule = lambda _got: Reply(wait=go)
    with receivers[0] as a, receivers[1] as b, receivers[2] as c, receivers[3] as d, receivers[4] as quick:
        greedy, other = organisations(world, 2)
        add_streams(greedy, *[one.url for one in (a, b, c, d) for _ in range(4)])
        add_streams(other, quick.url)
        seal_log(world.wiring, world.organisation_id)
        sender = StreamSender(world.wiring, Metrics())

        begun = sender.pump()
        is_there = quick.wait_for(1)
        go.set()
        sender.close()

    assert is_there
    assert begun == 9
