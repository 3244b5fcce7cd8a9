"""One event of each action in the form of OCSF, and the files that hold what it should be.

`python -c "from tests.audit.ocsf_samples import write_files; write_files()"` writes the files anew.
"""

import json
from dataclasses import replace
from pathlib import Path

from audit.body import EventBody, parse_body
from audit.events import ACTIONS, PROFILE, Cause, FieldChange, Outcome, Reason, Target
from audit.ocsf import ROWS, to_ocsf
from audit.render import render_event
from directory.ids import EventId
from tests.audit.samples import build_event_with_every_path

FOLDER = Path(__file__).parents[1] / "payloads" / "ocsf"
NAMES = {"pii:1": "Anna Example", "tok_1": "Okta"}
ROOT = EventId("01990000-0000-7000-8000-000000000009")

_ABOUT_MEMBERS = {"block", "override", "role", "seat"}
# Paths whose value decides more than its place.
_VALUES = {
    "role": "creator",
    "scope_id": "scope_4",
    "member": "user_7",
    "subgroup": "group_8",
    PROFILE: "pii:2",
}


def build_body(action: str) -> EventBody:
    """An event of the action that says all it may say, as it is stored."""
    event = build_event_with_every_path(action)
    noun = action.split(".", maxsplit=1)[0]
    is_edge = action.startswith("group.member_")
    kind = "user" if is_edge else "member" if noun in _ABOUT_MEMBERS else noun
    subject = Target(kind, f"{kind}_1", pii="" if noun == "group" and not is_edge else "pii:1")
    targets = (subject, Target("group", "group_1", role="object")) if is_edge else (subject,)
    is_refusal = ROWS[action].is_refusal
    event = replace(
        event,
        outcome=Outcome.DENIED if is_refusal else Outcome.SUCCESS,
        reason=Reason("seat_limit_reached", (("limit", 50), ("used", 50))) if is_refusal else None,
        targets=targets if ACTIONS[action].needs_target else (),
        changes=tuple(
            FieldChange(change.path, None, _VALUES.get(change.path, change.after)) for change in event.changes
        ),
        cause=Cause("scim_request", root=ROOT, parent=ROOT, scim_request_id="req_9"),
        request_id="req_9",
    )
    return parse_body(render_event(event))


def render(action: str) -> str:
    """The text of the action's file."""
    told = to_ocsf(build_body(action), leaf_index=41, product_version="1.2.3", names=NAMES)
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_files() -> None:
    for action in ACTIONS:
        (FOLDER / f"{action}.json").write_text(render(action), encoding="utf-8")
