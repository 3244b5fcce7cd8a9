"""What is sent that is no event, or none that can be told: a gap, a checkpoint, a body that is not known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from audit.cef import GRAVE, INFORMATIONAL, render_cef
from audit.ecs import DATASET, ECS_VERSION
from audit.ocsf import (
    CATEGORY_NAME,
    CATEGORY_UID,
    CLASS_NAMES,
    ENTITY_MANAGEMENT,
    OCSF_VERSION,
    OTHER,
    PRODUCT,
)
from directory.ids import OrganisationId
from streams.records import render_moment


@dataclass(frozen=True, slots=True)
class Notice:
    """`numbers` go with it; `raw` is the checkpoint's note, or the event as it is. A grave one tells of a loss."""

    organisation_id: OrganisationId
    code: str
    uid: str
    at: datetime
    text: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    raw: str = ""
    is_grave: bool = False


def notice_to_ocsf(notice: Notice, product_version: str) -> dict[str, Any]:
    """An Entity Management event, as all that streams tell of themselves."""
    name = CLASS_NAMES[ENTITY_MANAGEMENT]
    told: dict[str, Any] = {
        "activity_id": OTHER,
        "activity_name": notice.code,
        "actor": {"app_name": PRODUCT, "app_uid": "streams"},
        "category_name": CATEGORY_NAME,
        "category_uid": CATEGORY_UID,
        "class_name": name,
        "class_uid": ENTITY_MANAGEMENT,
        "entity": {"name": "audit log", "type": "log", "type_id": OTHER},
        "message": notice.text,
        "metadata": {
            "event_code": notice.code,
            "log_name": "audit",
            "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": product_version},
            "tenant_uid": notice.organisation_id,
            "uid": notice.uid,
            "version": OCSF_VERSION,
        },
        "severity": "High" if notice.is_grave else "Informational",
        "severity_id": 4 if notice.is_grave else 1,
        "time": _milliseconds(notice.at),
        "type_name": f"{name}: Other",
        "type_uid": ENTITY_MANAGEMENT * 100 + OTHER,
        "unmapped": dict(notice.numbers),
    }
    return {**told, "raw_data": notice.raw} if notice.raw else told


def notice_to_ecs(notice: Notice, product_version: str) -> dict[str, Any]:
    """Information about configuration."""
    return {
        "@timestamp": render_moment(notice.at),
        "ecs": {"version": ECS_VERSION},
        "event": {
            "action": notice.code,
            "category": ["configuration"],
            "dataset": DATASET,
            "id": notice.uid,
            "kind": "event",
            "module": "usher",
            "provider": "usher",
            "type": ["info"],
            **({"original": notice.raw} if notice.raw else {}),
        },
        "message": notice.text,
        "observer": {"product": PRODUCT, "vendor": PRODUCT, "version": product_version},
        "organization": {"id": notice.organisation_id},
        "usher": dict(notice.numbers),
    }


def notice_to_cef(notice: Notice, product_version: str) -> str:
    """One line; numbers in the custom numbers."""
    told = {
        "rt": str(_milliseconds(notice.at)),
        "externalId": notice.uid,
        "act": notice.code,
        "msg": notice.text,
    }
    for place, (label, number) in enumerate(notice.numbers.items(), start=1):
        told |= {f"cn{place}": str(number), f"cn{place}Label": label}
    told |= {"cs1": notice.organisation_id, "cs1Label": "organisation"}
    if notice.raw:
        told |= {"cs2": notice.raw, "cs2Label": "raw"}
    return render_cef(notice.code, GRAVE if notice.is_grave else INFORMATIONAL, told, product_version)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
