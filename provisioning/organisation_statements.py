"""An organisation's settings, plan, owner and domains as somebody says them."""

from audit.actors import AdminActor
from audit.events import JSONValue, Reason, Target
from directory.changes import EnrolOwner, SetPlan, SetSettings, TransferOwner
from mappings.catalogue import Resolution
from provisioning.errors import Refusal, RefusalCode
from provisioning.seats import seat_limit
from provisioning.state import UNLIMITED, NewMember, PersonalData, SeatPolicy
from provisioning.statements import (
    field_change,
    find_member,
    invalid,
    is_owner_or_operator,
    member_target,
    moved_fields,
    organisation_target,
)
from provisioning.work import Work, follow_model


def set_settings(work: Work, change: SetSettings) -> None:
    state, switches = work.state, work.model.catalogue.switches
    moved: dict[str, tuple[JSONValue, JSONValue]] = {}
    amended: dict[str, object] = {}
    turned: dict[str, bool] = {}
    for name, value in change.values.items():
        path = f"settings.{name}"
        if name == "seat_policy" and value in set(SeatPolicy):
            moved[path] = (state.seat_policy.value, str(value))
            amended["seat_policy"] = SeatPolicy(value)
        elif name == "resolution" and value in set(Resolution):
            moved[path] = (state.resolution, str(value))
            amended["resolution"] = str(value)
        elif name in switches and isinstance(value, bool):
            moved[path] = (state.switches.get(name, switches[name].default), value)
            turned[name] = value
        else:
            known = ["seat_policy=reject|waitlist", "resolution=union|priority"]
            known += [f"{switch}=true|false" for switch in switches]
            raise invalid(f"setting '{name}={value}' is not known here; settings are {', '.join(known)}")
    changes = moved_fields(moved)
    if not changes:
        return
    work.amend(**amended, switches={**state.switches, **turned})
    event_id = work.ledger.record("settings.updated", (organisation_target(work),), changes)
    follow_model(work, event_id, "settings_change")


def set_plan(work: Work, change: SetPlan) -> None:
    if isinstance(work.command.actor, AdminActor) and not is_owner_or_operator(work):
        raise Refusal(RefusalCode.NOT_ALLOWED, "only the owner or the operator changes the plan (MT-15)")
    catalogue = work.model.catalogue
    plan = catalogue.plans.get(change.plan)
    if plan is None:
        names = ", ".join(catalogue.plans) or "none"
        raise invalid(f"plan '{change.plan}' is not in the catalogue '{catalogue.id}'; its plans are {names}")
    if plan.is_custom and change.seat_limit is None:
        raise invalid(
            f"plan '{plan.id}' has no number of seats of its own; give one, or say unlimited (MT-14)"
        )
    if change.seat_limit is not None and change.seat_limit < 1 and change.seat_limit != UNLIMITED:
        raise invalid("a seat limit is a number from 1, or unlimited")
    before = seat_limit(work.state, catalogue)
    moved: dict[str, tuple[JSONValue, JSONValue]] = {
        "plan": (work.state.plan, change.plan),
        "seat_limit": (work.state.seat_limit, change.seat_limit),
    }
    changes = moved_fields(moved)
    if not changes:
        return
    work.amend(plan=change.plan, seat_limit=change.seat_limit)
    after = seat_limit(work.state, catalogue)
    occupied = work.state.seated + work.state.reserved
    reason = None
    if after is not None and occupied > after:
        # Nobody is evicted: additions are frozen until the organisation is below the limit again (MT-13).
        reason = Reason("over_seat_limit", (("limit", after), ("used", occupied)))
    event_id = work.ledger.record("seat.limit_changed", (organisation_target(work),), changes, reason=reason)
    if after is None or (before is not None and after > before):
        work.open_seats(event_id, "plan_change")


def enrol_owner(work: Work, change: EnrolOwner) -> None:
    if work.state.owner_id == change.member_id:
        return
    if work.state.owner_id is not None:
        raise invalid("the organisation has an owner; use a transfer")
    pii_ref = work.mint.id()
    work.writer.insert_personal_data(
        [PersonalData(pii_ref, change.member_id, {"name": change.display_name, "mail": change.mail})]
    )
    work.writer.insert_members(
        [NewMember(change.member_id, change.display_name, change.mail, pii_ref, is_active=False)], work.now
    )
    event_id = work.ledger.record(
        "member.created",
        (Target("member", change.member_id, pii=pii_ref),),
        (field_change("active", None, True),),
    )
    work.newcomers.add(change.member_id)
    work.counters["members_created"] += 1
    work.amend(owner_id=change.member_id)
    work.writer.save_organisation(work.state)
    work.touch(change.member_id, event_id)


def transfer_owner(work: Work, change: TransferOwner) -> None:
    former = work.state.owner_id
    if not is_owner_or_operator(work):
        raise Refusal(
            RefusalCode.NOT_ALLOWED, "only the owner or the operator transfers the ownership (MT-16)"
        )
    if former == change.member_id:
        return
    record = find_member(work, change.member_id)
    if record.facts.is_blocked:
        raise invalid("a blocked member cannot become the owner; lift the block first")
    work.amend(owner_id=change.member_id)
    # Facts of both people name the owner: the row must say so before they are read.
    work.writer.save_organisation(work.state)
    event_id = work.ledger.record(
        "owner.transferred", (member_target(record),), (field_change("owner", former, change.member_id),)
    )
    work.touch(change.member_id, event_id, "owner_transfer")
    if former is not None:
        work.touch(former, event_id, "owner_transfer")
