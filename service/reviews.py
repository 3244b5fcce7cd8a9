"""Reviews of access: a snapshot of who held what at a moment, a decision for each grant, and a signed result.

A review lies in the log alone: its beginning, its decisions and its end are events, and the snapshot is read again
from the intervals of access, which must still give the digest that the beginning names. **Nothing is taken away
here**: what is to be revoked is said, and carried out by commands of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

from audit.body import EventBody, parse_body
from audit.canonical import canonicalise
from audit.checkpoint import add_signature, sign_note
from audit.events import FieldChange, Target
from directory.ids import EventId
from provisioning.ports import EventQuery, Reader
from provisioning.queries import access_as_of
from provisioning.state import HeldInterval
from service.administration import Administration
from service.errors import NotFoundError, ServiceError
from service.log_keys import load_log_keys
from service.names import is_id

_MOST: Final = 10_000_000
_MOST_ROWS: Final = 2**62
_LONGEST_REASON: Final = 400


class ReviewError(ServiceError):
    """A review that cannot be gone on with so."""

    code = "review_refused"


class Verdict(StrEnum):
    KEEP = "keep"
    REVOKE = "revoke"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a grant, by whom, and the event that says so."""

    verdict: Verdict
    author: str
    event_id: EventId
    reason: str


@dataclass(frozen=True, slots=True)
class Item:
    """A grant of the snapshot. `interval.opened_event`, which gave it, is what it is called by."""

    interval: HeldInterval
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class Review:
    review_id: str
    as_of: datetime
    started: EventBody
    finished: EventBody | None
    items: tuple[Item, ...]

    def count(self, verdict: Verdict | None) -> int:
        return sum(
            (None if item.decision is None else item.decision.verdict) is verdict for item in self.items
        )


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """`document` is the canonical result; `note` names its digest and is signed by the keys of the log, if any."""

    review: Review
    document: bytes
    digest: str
    note: str


def start_review(administration: Administration, as_of: datetime) -> Review:
    """Begin a review of everything that was held at a moment that is not to come."""
    now = administration.wiring.clock()
    if as_of > now:
        raise ReviewError("nothing is known yet of what will be held; name a moment that has been")
    review_id = administration.wiring.mint.id()
    with administration.read() as reader:
        held = access_as_of(reader, as_of)
    administration.record(
        "review.started",
        (
            FieldChange("as_of", None, _moment(as_of)),
            FieldChange("grants", None, len(held)),
            FieldChange("sha256", None, _snapshot_digest(held)),
        ),
        [Target("review", review_id)],
    )
    return load_review(administration, review_id)


def list_reviews(administration: Administration) -> list[tuple[EventBody, EventBody | None]]:
    """The beginning of every review, the latest first, and its end if it has one."""
    with administration.read() as reader:
        query = EventQuery(action="review.started", newest_first=True, limit=_MOST)
        started = [parse_body(body) for _, body in reader.events(query)]
        return [(body, _finish_of(reader, body["targets"][0]["id"])[1]) for body in started]


def load_review(administration: Administration, review_id: str) -> Review:
    """Read a review with its snapshot. Raises NotFoundError; ReviewError when access past is not what it was."""
    with administration.read() as reader:
        return _load(reader, review_id)


def _load(reader: Reader, review_id: str) -> Review:
    started = _events(reader, review_id, "review.started") if is_id(review_id) else []
    if not started:
        raise NotFoundError(f"there is no review '{review_id}'; list them with 'usher audit review list'")
    begun = started[0][1]
    said = _after(begun)
    as_of = datetime.fromisoformat(str(said["as_of"]))
    held = access_as_of(reader, as_of)
    if _snapshot_digest(held) != said["sha256"]:
        raise ReviewError(
            "the access of that moment is not what it was when the review began: its tables were changed past Usher; "
            "see 'usher audit replay'"
        )
    end, finished = _finish_of(reader, review_id)
    decisions: dict[str, Decision] = {}
    for row, body in _events(reader, review_id, "review.decided"):
        # One that came in while the review was ended is too late.
        if row > end:
            continue
        said = _after(body)
        decisions[str(said["grant"])] = Decision(
            Verdict(str(said["decision"])),
            body["actor"]["id"],
            EventId(body["id"]),
            str(said.get("reason") or ""),
        )
    return Review(
        review_id=review_id.lower(),
        as_of=as_of,
        started=begun,
        finished=finished,
        items=tuple(Item(interval, decisions.get(interval.opened_event)) for interval in held),
    )


def decide_grants(
    administration: Administration, review_id: str, grants: Iterable[str], verdict: Verdict, reason: str
) -> Review:
    """Decide about grants of a review by the events that gave them; a later decision takes an earlier one's place.

    Raises: NotFoundError for a grant that the snapshot does not have; ReviewError once the review is finished.
    """
    if len(reason.encode("utf-8", "replace")) > _LONGEST_REASON:
        raise ReviewError(f"the reason is longer than {_LONGEST_REASON} bytes; say it shorter")
    review = load_review(administration, review_id)
    _check_open(review)
    known = {item.interval.opened_event: item.interval for item in review.items}
    chosen = list(dict.fromkeys(grant.lower() for grant in grants))
    for grant in chosen:
        if grant not in known:
            raise NotFoundError(
                f"review {review.review_id} has no grant '{grant}'; see 'usher audit review show'"
            )
    for grant in chosen:
        interval = known[EventId(grant)]
        administration.record(
            "review.decided",
            (
                FieldChange("decision", None, verdict.value),
                FieldChange("grant", None, grant),
                FieldChange("role", None, interval.grant.role),
                FieldChange("scope_id", None, interval.grant.scope_id),
                *((FieldChange("reason", None, reason),) if reason else ()),
            ),
            [
                Target("member", interval.member_id),
                Target("review", review.review_id, role="object"),
            ],
        )
    return load_review(administration, review_id)


def finish_review(
    administration: Administration, review_id: str, *, is_partial: bool = False
) -> ReviewResult:
    """End a review and sign what came of it. Raises ReviewError while grants are undecided, unless `is_partial`."""
    review = load_review(administration, review_id)
    _check_open(review)
    undecided = review.count(None)
    if undecided and not is_partial:
        raise ReviewError(
            f"{undecided} of {len(review.items)} grants are not decided yet; decide them, or finish with --partial"
        )
    digest = sha256(canonicalise(_result(administration, review))).hexdigest()
    administration.record(
        "review.finished",
        (
            FieldChange("sha256", None, digest),
            FieldChange("kept", None, review.count(Verdict.KEEP)),
            FieldChange("revoked", None, review.count(Verdict.REVOKE)),
            FieldChange("undecided", None, undecided),
        ),
        [Target("review", review.review_id)],
    )
    return read_result(administration, review_id)


def read_result(administration: Administration, review_id: str) -> ReviewResult:
    """The result of a finished review, signed anew. Raises ReviewError when it is not what the review's end names."""
    review = load_review(administration, review_id)
    if review.finished is None:
        raise ReviewError(f"review {review.review_id} is not finished; see 'usher audit review finish'")
    document = canonicalise(_result(administration, review))
    digest = sha256(document).hexdigest()
    if digest != _after(review.finished)["sha256"]:
        raise ReviewError("the result is not what was signed when the review ended; see 'usher audit verify'")
    return ReviewResult(review, document, digest, _sign(administration, review, digest))


def _check_open(review: Review) -> None:
    if review.finished is not None:
        raise ReviewError(f"review {review.review_id} is finished; begin another")


def _result(administration: Administration, review: Review) -> dict[str, object]:
    return {
        "as_of": _moment(review.as_of),
        "items": [_result_item(item) for item in review.items],
        "organisation": administration.organisation_id,
        "review": review.review_id,
        "snapshot_sha256": _after(review.started)["sha256"],
        "started_event": review.started["id"],
        "v": 1,
    }


def _result_item(item: Item) -> dict[str, object]:
    decision = item.decision
    return {
        **_snapshot_row(item.interval),
        "decided_by": "" if decision is None else decision.author,
        "decided_event": "" if decision is None else decision.event_id,
        "decision": "undecided" if decision is None else decision.verdict.value,
        "reason": "" if decision is None else decision.reason,
    }


def _sign(administration: Administration, review: Review, digest: str) -> str:
    """A signed note as checkpoints are; unsigned text where the log has no key. Source: C2SP signed-note v1.0.0"""
    text = f"usher/review/{administration.organisation_id}/{review.review_id}\n{digest}\n"
    signers = list(load_log_keys(administration.wiring.settings).signers.values())
    if not signers:
        return text
    note = sign_note(text, signers[0].name, signers[0].public_key, signers[0].sign)
    for signer in signers[1:]:
        note = add_signature(note, signer.name, signer.public_key, signer.sign)
    return note


def _events(reader: Reader, review_id: str, action: str) -> list[tuple[int, EventBody]]:
    query = EventQuery(action=action, about=(review_id.lower(),), limit=_MOST)
    return [(row, parse_body(body)) for row, body in reader.events(query)]


def _finish_of(reader: Reader, review_id: str) -> tuple[int, EventBody | None]:
    """The row and body of what ended the review."""
    return next(iter(_events(reader, review_id, "review.finished")), (_MOST_ROWS, None))


def _after(body: EventBody) -> Mapping[str, object]:
    return {change["path"]: change["after"] for change in body.get("changes", ())}


def _snapshot_digest(held: Sequence[HeldInterval]) -> str:
    return sha256(canonicalise([_snapshot_row(interval) for interval in held])).hexdigest()


def _snapshot_row(interval: HeldInterval) -> dict[str, object]:
    """What does not move any more, whatever becomes of the grant later."""
    return {
        "grant": interval.opened_event,
        "member": interval.member_id,
        "role": interval.grant.role,
        "scope": interval.grant.scope_id,
        "since": _moment(interval.opened_at),
    }


def _moment(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='microseconds').removesuffix('+00:00')}Z"
