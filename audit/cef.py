"""Events in ArcSight's Common Event Format, version 0: one line of text each.

Source: ArcSight, "Common Event Format Configuration Guide", revision 16: escaping, dictionary of the extension.
"""

import re
from collections.abc import Mapping, Sequence

from audit.body import EventBody
from audit.ecs import value_text
from audit.events import Outcome
from audit.ocsf import CLASS_NAMES, ENTITY_MANAGEMENT, OTHER, PRODUCT, ROWS, Row, to_milliseconds
from audit.sentences import NO_NAMES, describe

_UNKNOWN = Row(ENTITY_MANAGEMENT, OTHER)
_PEOPLE = frozenset({"user", "member"})
# Of severities from 0 to 10: low, medium, high.
INFORMATIONAL, REFUSED, GRAVE = 3, 6, 8
_LONGEST = 1023
_LONGEST_CUSTOM = 4000
_BREAKS = re.compile(r"\r\n|[\r\n\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def to_cef(
    body: EventBody,
    *,
    leaf_index: int | None,
    product_version: str,
    names: Mapping[str, str] = NO_NAMES,
    marks: Sequence[str] = (),
) -> str:
    """Give the CEF form of an event.

    `names` gives clear names for ids and references; they are not covered by any proof. `marks`: replay, test.
    """
    row = ROWS.get(body["action"], _UNKNOWN)
    has_failed = row.is_refusal or body["outcome"] in {Outcome.DENIED, Outcome.FAILURE}
    severity = GRAVE if row.severity_id else REFUSED if has_failed else INFORMATIONAL
    actor = body["actor"]
    told: dict[str, str] = {
        "rt": str(to_milliseconds(body["time"])),
        "externalId": body["id"],
        "cat": CLASS_NAMES[row.class_uid],
        "act": body["action"],
        "outcome": body["outcome"],
        "msg": describe(body, names=names),
        "suid": actor["id"],
        "suser": names.get(actor["id"], ""),
        "spriv": actor["type"],
    }
    if "reason" in body:
        numbers = body["reason"].get("numbers", {})
        told["reason"] = " ".join(
            (body["reason"]["code"], *(f"{name}={_joined(value_text(of))}" for name, of in numbers.items()))
        )
    targets = body.get("targets", [])
    whom = next((one for one in targets if one["type"] in _PEOPLE), None)
    if whom is not None:
        told["duid"] = whom["id"]
        told["duser"] = names.get(whom.get("pii", ""), names.get(whom["id"], ""))
    if leaf_index is not None:
        told |= {"cn1": str(leaf_index), "cn1Label": "leaf_index"}
    customs = {
        "organisation": body["organisation"],
        "cause": f"{body['cause']['kind']} {body['cause'].get('root', '')}".strip(),
        "changes": "; ".join(
            f"{one['path']}: {_side(value_text(one['before']))} -> {_side(value_text(one['after']))}"
            for one in body.get("changes", [])
        ),
        "targets": "; ".join(f"{one['role']} {one['type']} {one['id']}" for one in targets),
        "request": body.get("context", {}).get("request_id", ""),
        "mark": " ".join(marks),
    }
    for number, (label, value) in enumerate(customs.items(), start=1):
        if value:
            told |= {f"cs{number}": value, f"cs{number}Label": label}
    return render_cef(body["action"], severity, told, product_version)


def render_cef(action: str, severity: int, extension: Mapping[str, str], product_version: str) -> str:
    """Put header and extension together. Empty values are left out, long ones cut where the dictionary says."""
    name = action.replace(".", " ").replace("_", " ").capitalize()
    header = "|".join(
        escape_header(part) for part in (PRODUCT, PRODUCT, product_version, action, name, str(severity))
    )
    pairs = " ".join(
        f"{key}={escape_value(value[: _LONGEST_CUSTOM if key.startswith('cs') else _LONGEST])}"
        for key, value in extension.items()
        if value
    )
    return f"CEF:0|{header}|{pairs}"


def escape_header(text: str) -> str:
    """A field of the header: `\\` and `|` are escaped; there are no line ends in it."""
    plain = text if text.isprintable() else _CONTROLS.sub(" ", _BREAKS.sub(" ", text))
    return plain.replace("\\", "\\\\").replace("|", "\\|")


def escape_value(text: str) -> str:
    """A value of the extension: `\\` and `=` are escaped, and line ends become `\\n`."""
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    return escaped if escaped.isprintable() else _CONTROLS.sub(" ", _BREAKS.sub("\\\\n", escaped))


def _joined(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _side(value: str | list[str]) -> str:
    return _joined(value) or '""'
