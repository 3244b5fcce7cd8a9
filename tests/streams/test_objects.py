"""What lies in a store, under which names; and what is said when something lies there already."""

import gzip
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson

from audit.checkpoint import Checkpoint, add_signature, render_checkpoint, sign_note
from directory.ids import OrganisationId
from provisioning.streaming import SealedCheckpoint
from streams.objects import Objects, StoredObject, There, digest_of, name_batch, pack
from streams.outcomes import Outcome, Verdict
from streams.records import Batch, CheckpointRecord, EventRecord, GapRecord, ProbeRecord
from tests.sealing import make_signer
from tests.streams.test_syslog import NOW, STREAM, event

ORGANISATION = OrganisationId("0195-acme")
SIGNER = make_signer()
NOTE = sign_note(
    render_checkpoint(Checkpoint("usher.example.org/audit/acme", 9, bytes(32))),
    SIGNER.name,
    SIGNER.public_key,
    SIGNER.sign,
)
BATCH = Batch(STREAM, (GapRecord(0, 1), EventRecord(event(2)), EventRecord(event(3))), 0, 3)
NAME = "0195-acme/2026/03/01/0-3"


@dataclass
class Shelf:
    """A store in memory. `may_read` and `is_vague` are how permissions make others answer."""

    objects: dict[str, StoredObject] = field(default_factory=dict)
    may_read: bool = True
    is_vague: bool = False
    may_create: bool = True
    is_losing: bool = False
    fault: Outcome | None = None

    def create(self, key: str, stored: StoredObject) -> Outcome | There:
        if self.fault is not None:
            return self.fault
        if not self.may_create:
            return There(or_else=Outcome(Verdict.REFUSED, "may not create"))
        if key in self.objects:
            return There(or_else=Outcome(Verdict.REFUSED, "may not create") if self.is_vague else None)
        self.objects[key] = stored
        return Outcome(Verdict.TAKEN, "answered 201")

    def find_digest(self, key: str) -> str | Outcome | None:
        if not self.may_read:
            return Outcome(Verdict.REFUSED, "may not read")
        if self.is_losing:
            return Outcome(Verdict.LATER, "answered 503")
        return self.objects[key].digest if key in self.objects else None


def send(shelf: Shelf, batch: Batch = BATCH, note: str | None = NOTE) -> Outcome:
    return Objects(shelf, ORGANISATION, lambda _organisation, _position: note).send(batch)


def test_a_batch_is_an_object_with_its_checkpoint_beside_it() -> None:
    shelf = Shelf()

    outcome = send(
        shelf, replace(BATCH, records=(*BATCH.records, CheckpointRecord(SealedCheckpoint(4, NOTE, NOW))))
    )

    assert outcome.verdict is Verdict.TAKEN
    assert list(shelf.objects) == [f"{NAME}.jsonl.gz", f"{NAME}.checkpoint"]
    gap, first, second = gzip.decompress(shelf.objects[f"{NAME}.jsonl.gz"].content).splitlines()
    assert orjson.loads(gap) == {"from": 0, "record": "stream.gap", "to": 1}
    assert [orjson.loads(line)["leaf_index"] for line in (first, second)] == [2, 3]
    assert shelf.objects[f"{NAME}.checkpoint"].content.decode() == NOTE


def test_the_same_batch_is_the_same_octets() -> None:
    assert pack(BATCH) == pack(BATCH)
    assert pack(BATCH)[4:8] == bytes(4)


def test_the_day_is_that_of_the_first_event_s_sealing() -> None:
    early = event(5)._replace(sealed_at=datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC))

    assert name_batch(Batch(STREAM, (EventRecord(early), EventRecord(event(6))), 5, 6)) == "2025/12/31/5-6"
    assert name_batch(Batch(STREAM, (GapRecord(5, 6),), 5, 6)) == "gaps/5-6"
    assert name_batch(replace(BATCH, is_replay=True)) == "2026/03/01/0-3.replay"


def test_a_test_lies_apart_and_waits_for_no_checkpoint() -> None:
    shelf = Shelf()

    outcome = send(shelf, Batch(STREAM, (ProbeRecord(b"{}", "event-id", NOW),)), note=None)

    assert outcome.verdict is Verdict.TAKEN
    assert list(shelf.objects) == ["0195-acme/tests/event-id.jsonl.gz"]


def test_nothing_is_stored_before_a_checkpoint_covers_it() -> None:
    shelf = Shelf()

    outcome = send(shelf, note=None)

    assert (outcome.verdict, shelf.objects) == (Verdict.LATER, {})
    assert outcome.text == "waits for a signed checkpoint that covers position 3"


def test_a_repetition_makes_no_second_object() -> None:
    shelf = Shelf()
    send(shelf)
    before = dict(shelf.objects)

    outcome = send(shelf)

    assert outcome == Outcome(Verdict.TAKEN, "holds the object already")
    assert shelf.objects == before


def test_a_name_that_was_erased_between_two_attempts_makes_no_other_object() -> None:
    shelf = Shelf()
    send(shelf)
    nameless = [EventRecord(event(place)._replace(names={})) for place in (2, 3)]

    outcome = send(shelf, replace(BATCH, records=(GapRecord(0, 1), *nameless)))

    assert outcome.verdict is Verdict.TAKEN
    assert b"display_name" in gzip.decompress(shelf.objects[f"{NAME}.jsonl.gz"].content)


def test_a_signature_that_was_added_between_two_attempts_makes_no_other_checkpoint() -> None:
    shelf = Shelf()
    send(shelf)
    other = make_signer(2)

    outcome = send(shelf, note=add_signature(NOTE, other.name, other.public_key, other.sign))

    assert outcome.verdict is Verdict.TAKEN
    assert len(shelf.objects) == 2


def test_other_events_under_the_same_name_are_told() -> None:
    shelf = Shelf()
    send(shelf, replace(BATCH, records=(GapRecord(0, 2), EventRecord(event(3)))))
    before = dict(shelf.objects)

    outcome = send(shelf)

    assert outcome.verdict is Verdict.REFUSED
    assert f"holds another object under the name '{NAME}.jsonl.gz'" in outcome.text
    assert shelf.objects == before


def test_another_checkpoint_under_the_same_name_is_told() -> None:
    shelf = Shelf()
    send(shelf)
    text = render_checkpoint(Checkpoint("usher.example.org/audit/acme", 9, bytes([1]) * 32))
    forked = sign_note(text, SIGNER.name, SIGNER.public_key, SIGNER.sign)

    assert f"'{NAME}.checkpoint'" in send(shelf, note=forked).text


def test_whoever_may_not_look_stores_under_a_name_of_its_own() -> None:
    shelf = Shelf(may_read=False)
    send(shelf)

    again = [send(shelf), send(shelf)]

    assert [one.verdict for one in again] == [Verdict.TAKEN, Verdict.TAKEN]
    lines = [one for key, one in shelf.objects.items() if key.endswith(".jsonl.gz")]
    assert [one.content for one in lines] == [pack(BATCH)] * 2
    assert f"{NAME}.{digest_of(BATCH)[:16]}.jsonl.gz" in shelf.objects


def test_a_vague_answer_is_settled_by_looking() -> None:
    seen = Shelf(is_vague=True)
    send(seen)
    assert send(seen).verdict is Verdict.TAKEN
    assert len(seen.objects) == 2

    assert send(Shelf(may_create=False)).text == "may not create"
    assert send(Shelf(may_create=False, may_read=False)).text == "may not create"


def test_what_cannot_be_looked_at_now_is_tried_again() -> None:
    shelf = Shelf()
    send(shelf)
    shelf.is_losing = True

    assert send(shelf) == Outcome(Verdict.LATER, "answered 503")


def test_an_object_that_goes_between_two_requests_is_stored_anew() -> None:
    class Forgetful(Shelf):
        def create(self, key: str, stored: StoredObject) -> Outcome | There:
            return There()

    assert send(Forgetful()).verdict is Verdict.LATER


def test_a_fault_of_the_store_is_passed_on() -> None:
    assert send(Shelf(fault=Outcome(Verdict.LATER, "answered 500"))).text == "answered 500"
