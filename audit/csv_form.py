"""Events as rows of a spreadsheet. For reading: no proof covers a row, nor the clear names in it.

Source: RFC 4180; for the escape, OWASP on CSV injection.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from io import StringIO

from audit.body import EventBody, TargetBody
from audit.canonical import render_canonical
from audit.sentences import NO_NAMES, describe

COLUMNS = (
    "leaf_index",
    "time",
    "id",
    "action",
    "outcome",
    "sentence_unproven",
    "actor_type",
    "actor_id",
    "actor_name_unproven",
    "subject_type",
    "subject_id",
    "subject_name_unproven",
    "object_type",
    "object_id",
    "object_name_unproven",
    "reason",
    "reason_numbers",
    "changes",
    "cause_kind",
    "cause_root",
    "cause_parent",
    "rule_id",
    "rule_version",
    "run_id",
    "request_id",
)
"""The first line. What ends in `_unproven` holds clear names as they are now."""

# A spreadsheet takes what begins with one of these for a formula. The wide forms are taken for the plain ones by
# those set to Chinese, Japanese or Korean.
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NO_TARGET: TargetBody = {"type": "", "id": "", "role": ""}


def escape_cell(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run."""
    return f"'{text}" if _FORMULA.match(text) else text


def render_row(cells: Iterable[str]) -> bytes:
    """One line with its end; every cell is escaped."""
    line = StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([escape_cell(cell) for cell in cells])
    # What has no UTF-8 was never in a body, yet a clear name may come from anywhere.
    return line.getvalue().encode(errors="replace")


def render_header() -> bytes:
    return render_row(COLUMNS)


def render_event_row(
    body: EventBody, *, leaf_index: int | None, names: Mapping[str, str] = NO_NAMES
) -> bytes:
    """The row of one event. `leaf_index` is None for one that is not sealed yet."""
    actor, cause, reason = body["actor"], body["cause"], body.get("reason")
    targets = {target["role"]: target for target in reversed(body.get("targets", []))}
    return render_row(
        (
            "" if leaf_index is None else str(leaf_index),
            body["time"],
            body["id"],
            body["action"],
            body["outcome"],
            describe(body, names=names),
            actor["type"],
            actor["id"],
            names.get(actor["id"], ""),
            *_render_target(targets.get("subject", _NO_TARGET), names),
            *_render_target(targets.get("object", _NO_TARGET), names),
            reason["code"] if reason is not None else "",
            _render_json(reason.get("numbers") if reason is not None else None),
            _render_json(body.get("changes")),
            cause["kind"],
            cause.get("root", ""),
            cause.get("parent", ""),
            cause.get("rule_id", ""),
            str(cause.get("rule_version", "")),
            cause.get("run_id", ""),
            body.get("context", {}).get("request_id", ""),
        )
    )


def _render_json(value: object) -> str:
    return render_canonical(value).decode() if value else ""


def _render_target(target: TargetBody, names: Mapping[str, str]) -> tuple[str, str, str]:
    return target["type"], target["id"], names.get(target.get("pii", ""), names.get(target["id"], ""))
