"""What administrators, the operator and the system say: applied once, refused in plain words, audited."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

import pytest

from audit.actors import Actor, AdminActor, ApiKeyActor, LoginActor, RunActor, SystemActor, TokenActor
from directory.audit_token_changes import AuditTokenChange
from directory.changes import (
    AcceptInvitation,
    AddDomain,
    AdministratorChange,
    AllowStaged,
    AttributeMatch,
    Change,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    EndInvitation,
    EndOverride,
    EnrolOwner,
    GroupMatch,
    Invite,
    LiftBlock,
    NameMatch,
    NoteTokenEnding,
    PutDirectory,
    PutDirectorySecret,
    PutRole,
    PutRule,
    PutScope,
    PutToken,
    RejectStaged,
    RemoveMember,
    RemoveRole,
    RemoveRule,
    RemoveScope,
    RevokeToken,
    SetBlock,
    SetOverride,
    SetPlan,
    SetSettings,
    TransferOwner,
)
from directory.ids import (
    DirectoryId,
    GroupId,
    InvitationId,
    MemberId,
    OverrideId,
    RoleId,
    RuleId,
    RunId,
    ScopeId,
)
from directory.sso_changes import SSOChange
from directory.stream_changes import StreamChange
from provisioning.errors import RefusalCode
from provisioning.rule_statements import render_match
from provisioning.state import UNLIMITED, SeatPolicy
from tests.builders import (
    ADMIN,
    MEMBER,
    MONDAY,
    WORKER,
    MakeWorld,
    World,
    external,
    on_sqlite_only,
    put_group,
    put_user,
)

TOMORROW = MONDAY + timedelta(days=1)
YESTERDAY = MONDAY - timedelta(days=1)
GUEST = RoleId("guest")


def guest(
    *permissions: str, label: str = "Guest", kinds: tuple[str, ...] = ("unit",), rank: int = 1
) -> PutRole:
    return PutRole(GUEST, label, permissions or ("notifications.tasks", "tasks.view"), kinds, rank)


@dataclass
class Office:
    """A world with one of each thing, and ids for one more of each."""

    world: World
    hq: DirectoryId
    group: GroupId
    rule: RuleId
    unit: ScopeId
    ann: MemberId
    new: str
    """An id that nothing has yet."""

    @property
    def root(self) -> ScopeId:
        return self.world.root

    def said(self, *changes: Change) -> None:
        self.world.do(*changes)

    # One of each statement, in a form that may be said

    @property
    def put_rule(self) -> PutRule:
        return PutRule(RuleId(self.new), GroupMatch(self.group), WORKER, self.unit, 7)

    @property
    def override(self) -> SetOverride:
        return SetOverride(OverrideId(self.new), self.ann, ((WORKER, self.unit),), "holiday", TOMORROW)

    @property
    def invitation(self) -> Invite:
        return Invite(InvitationId(self.new), "ida@example.org", MEMBER, self.root, TOMORROW)

    @property
    def accept(self) -> AcceptInvitation:
        return AcceptInvitation(InvitationId(self.new), MemberId(self.new))

    @property
    def directory(self) -> PutDirectory:
        return PutDirectory(
            DirectoryId(self.new), "ldif", "branch", {"file": "a.ldif", "interval_seconds": 60}
        )

    def scope(self, name: str = "Unit 2", *, kind: str = "unit", host_id: str = "u2") -> PutScope:
        return PutScope(ScopeId(self.new), kind, name, host_id, (self.root,))


@pytest.fixture
def office(new_world: MakeWorld) -> Office:
    world = new_world()
    hq = world.put_directory()
    unit = world.put_scope("Unit 1", "unit")
    rule = world.grow(hq, "team", "ann")
    world.events()
    group = world.group(hq, "team").group_id
    return Office(world, hq, group, rule, unit, world.member_of(hq, "ann"), world.new_id())


Given = Callable[[Office], None]
Say = Callable[[Office], Change]


def nothing(office: Office) -> None:
    """The office as it is."""


def something_staged(office: Office) -> None:
    """A SCIM directory that holds, and takes its only user away."""
    settings = {"hold": True, "guard_removed_users": 0, "guard_removed_users_percent": 0}
    push, user = DirectoryId(office.new), office.world.new_id()
    office.said(PutDirectory(push, "scim", "push", settings, default_role=MEMBER))
    office.world.push(push, put_user(user, user_name="ida"))
    office.world.push(push, DeactivateUser(external(user)))


GRANTED = ["role.granted", "seat.assigned"]
CASES: dict[str, tuple[Given, Say, list[str]]] = {
    "rule": (nothing, lambda o: o.put_rule, ["mapping.created", "role.granted"]),
    "rule, other priority": (
        nothing,
        lambda o: PutRule(o.rule, GroupMatch(o.group), MEMBER, o.root, 5),
        ["mapping.updated"],
    ),
    "rule, other role": (
        nothing,
        lambda o: PutRule(o.rule, GroupMatch(o.group), ADMIN, o.root),
        ["mapping.updated", "role.revoked", "role.granted"],
    ),
    "rule on names": (
        nothing,
        lambda o: PutRule(RuleId(o.new), NameMatch(o.hq, "x-{unit}"), WORKER, None),
        ["mapping.created"],
    ),
    "rule on attributes": (
        nothing,
        lambda o: PutRule(RuleId(o.new), AttributeMatch(o.hq, 'userName eq "ann"'), WORKER, o.unit),
        ["mapping.created", "role.granted"],
    ),
    "rule removed": (
        nothing,
        lambda o: RemoveRule(o.rule),
        ["mapping.deleted", "role.revoked", "seat.released"],
    ),
    "scope": (nothing, lambda o: o.scope(), ["scope.created"]),
    "scope renamed": (
        nothing,
        lambda o: PutScope(o.unit, "unit", "Harbour", "unit 1", (o.root,)),
        ["scope.updated"],
    ),
    "scope removed": (nothing, lambda o: RemoveScope(o.unit), ["scope.deleted"]),
    "role": (nothing, lambda o: guest(), ["role_definition.created"]),
    "role changed": (
        lambda o: o.said(guest()),
        lambda o: guest("tasks.view", label="Visitor"),
        ["role_definition.updated"],
    ),
    "role removed": (lambda o: o.said(guest()), lambda o: RemoveRole(GUEST), ["role_definition.deleted"]),
    "override": (nothing, lambda o: o.override, ["override.set", "role.revoked", "role.granted"]),
    "override ended": (
        lambda o: o.said(o.override),
        lambda o: EndOverride(OverrideId(o.new)),
        ["override.ended", "role.revoked", "role.granted"],
    ),
    "block": (
        nothing,
        lambda o: SetBlock(o.ann, "lost laptop"),
        ["block.set", "member.deactivated", "role.revoked", "seat.released"],
    ),
    "block lifted": (
        lambda o: o.said(SetBlock(o.ann, "lost laptop")),
        lambda o: LiftBlock(o.ann),
        ["block.lifted", "member.reactivated", *GRANTED],
    ),
    "invitation": (nothing, lambda o: o.invitation, ["invitation.created"]),
    "invitation ended": (
        lambda o: o.said(o.invitation),
        lambda o: EndInvitation(InvitationId(o.new)),
        ["invitation.ended"],
    ),
    "member removed": (
        lambda o: o.said(o.invitation, o.accept),
        lambda o: RemoveMember(MemberId(o.new)),
        ["member.updated", "member.deleted", "role.revoked", "seat.released"],
    ),
    "plan": (nothing, lambda o: SetPlan("Enterprise", 30), ["seat.limit_changed"]),
    "plan without limit": (nothing, lambda o: SetPlan("Enterprise", UNLIMITED), ["seat.limit_changed"]),
    "owner": (
        nothing,
        lambda o: TransferOwner(o.ann),
        ["owner.transferred", "member.deleted", "role.revoked", "seat.released", "role.granted"],
    ),
    "settings": (nothing, lambda o: SetSettings({"seat_policy": "waitlist"}), ["settings.updated"]),
    "switch": (nothing, lambda o: SetSettings({"member_sees_sensor_data": True}), ["settings.updated"]),
    "domain": (nothing, lambda o: AddDomain("Example.ORG"), ["domain.verified"]),
    "directory": (nothing, lambda o: o.directory, ["directory.created"]),
    "directory changed": (
        lambda o: o.said(o.directory),
        lambda o: PutDirectory(DirectoryId(o.new), "ldif", "branch", {"file": "b.ldif"}, priority=3),
        ["directory.updated"],
    ),
    "directory with a default role": (
        lambda o: o.said(o.directory),
        lambda o: PutDirectory(DirectoryId(o.new), "ldif", "branch", {"file": "b.ldif"}, default_role=MEMBER),
        ["directory.updated"],
    ),
    "staged change allowed": (
        something_staged,
        lambda o: AllowStaged(DirectoryId(o.new)),
        ["member.staged_allowed", "member.deactivated", "role.revoked", "seat.released"],
    ),
    "staged change rejected": (
        something_staged,
        lambda o: RejectStaged(DirectoryId(o.new)),
        ["member.staged_rejected"],
    ),
}
REFUSED_A_SECOND_TIME = {"role removed"}


@pytest.mark.parametrize("name", CASES)
def test_a_statement_writes_its_events_once(office: Office, name: str) -> None:
    given, say, actions = CASES[name]
    given(office)
    world = office.world
    world.events()
    version = world.state.access_version

    world.do(say(office))
    assert world.events() == actions
    assert world.state.access_version == version + 1
    world.check()

    if name in REFUSED_A_SECOND_TIME:
        return
    before = world.snapshot()
    world.clock.move(minutes=1)
    world.do(say(office))
    assert world.events() == []
    assert world.snapshot() == before


def test_every_statement_of_the_union_is_tried(office: Office) -> None:
    tried = {type(say(office)) for _, say, _ in CASES.values()}

    # These have tests of their own: the first begins a world, the second can be said once only, the others are about
    # tokens, secrets, single sign-on and streams.
    elsewhere = {
        EnrolOwner,
        AcceptInvitation,
        PutDirectorySecret,
        PutToken,
        RevokeToken,
        NoteTokenEnding,
        *get_args(SSOChange),
        *get_args(StreamChange),
        *get_args(AuditTokenChange),
    }
    assert tried | elsewhere == set(get_args(AdministratorChange))


def invalid(say: Say, words: str) -> tuple[Say, RefusalCode, str]:
    return say, RefusalCode.INVALID, words


def missing(say: Say, kind: str) -> tuple[Say, RefusalCode, str]:
    return say, RefusalCode.NOT_FOUND, f"there is no {kind} '{{new}}' in this organisation"


ROLES = "roles are Admin, Member, Operator, auditor"
SETTINGS = (
    "settings are seat_policy=reject|waitlist, resolution=union|priority, member_sees_sensor_data=true|false"
)
BAD: dict[str, tuple[Say, RefusalCode, str]] = {
    "rule for the owner": invalid(
        lambda o: PutRule(RuleId(o.new), GroupMatch(o.group), RoleId("Owner"), o.root),
        "nobody becomes Owner by a rule; ownership is handed over by the owner or the operator",
    ),
    "rule for an unknown role at an unknown scope on an unknown group": invalid(
        lambda o: PutRule(RuleId(o.new), GroupMatch(GroupId(o.new)), RoleId("Chef"), ScopeId(o.new)),
        "there is no role 'Chef'; there are Admin, Member, Operator, auditor; there is no scope '{new}'; it may have "
        "been removed; there is no group '{new}'; it may have been deleted in its directory",
    ),
    "rule removed that never was": missing(lambda o: RemoveRule(RuleId(o.new)), "mapping rule"),
    "scope of an unknown kind": invalid(
        lambda o: o.scope(kind="castle"),
        "castle 'Unit 2': the catalogue has no scope kind 'castle'; it has building, location, organisation, unit",
    ),
    "scope with a host id that another has": invalid(
        lambda o: o.scope(host_id="UNIT 1"),
        "unit 'Unit 2' has the host id 'UNIT 1' of unit 'Unit 1'; host ids of one kind are unique",
    ),
    "the root put": invalid(
        lambda o: PutScope(o.root, "organisation", "New", "x", ()),
        "the organisation itself is the root scope and is not put",
    ),
    "the root removed": invalid(
        lambda o: RemoveScope(o.root), "the organisation itself is the root scope and cannot be removed"
    ),
    "scope removed that never was": missing(lambda o: RemoveScope(ScopeId(o.new)), "scope"),
    "role of the catalogue": invalid(
        lambda o: PutRole(ADMIN, "Mine", ("tasks.view",), ("unit",), 1),
        "'Admin' is a role of the catalogue; choose another name",
    ),
    "role with a permission of the owner": invalid(
        lambda o: guest("billing.manage", kinds=("organisation",)),
        "billing.manage belongs to the owner and to no role",
    ),
    "role removed that never was": (
        lambda o: RemoveRole(RoleId("chef")),
        RefusalCode.NOT_FOUND,
        "there is no custom role 'chef' in this organisation",
    ),
    "role of the catalogue removed": (
        lambda o: RemoveRole(MEMBER),
        RefusalCode.NOT_FOUND,
        "there is no custom role 'Member' in this organisation",
    ),
    "override of nobody": missing(
        lambda o: SetOverride(OverrideId(o.new), MemberId(o.new), (), "x", TOMORROW), "member"
    ),
    "override without a reason": invalid(
        lambda o: SetOverride(OverrideId(o.new), o.ann, (), " ", TOMORROW), "an override needs a reason"
    ),
    "override that has ended": invalid(
        lambda o: SetOverride(OverrideId(o.new), o.ann, (), "x", YESTERDAY),
        "the override would have ended at 2026-03-01T09:00:00Z already; give a moment to come",
    ),
    "override with an unknown role": invalid(
        lambda o: SetOverride(OverrideId(o.new), o.ann, ((RoleId("Chef"), o.root),), "x", TOMORROW),
        f"role 'Chef' is not known; {ROLES}",
    ),
    "override at a scope that does not suit the role": invalid(
        lambda o: SetOverride(OverrideId(o.new), o.ann, ((RoleId("auditor"), o.unit),), "x", TOMORROW),
        "role 'auditor' is granted at organisation, not at a unit",
    ),
    "override at an unknown scope": missing(
        lambda o: SetOverride(OverrideId(o.new), o.ann, ((WORKER, ScopeId(o.new)),), "x", TOMORROW), "scope"
    ),
    "override ended that never was": missing(lambda o: EndOverride(OverrideId(o.new)), "override"),
    "block without a reason": invalid(lambda o: SetBlock(o.ann, ""), "a block needs a reason"),
    "block of nobody": missing(lambda o: SetBlock(MemberId(o.new), "x"), "member"),
    "block lifted of nobody": missing(lambda o: LiftBlock(MemberId(o.new)), "member"),
    "invitation without a mail": invalid(
        lambda o: Invite(InvitationId(o.new), "ida@", MEMBER, o.root, TOMORROW),
        "'ida@' is not a mail address",
    ),
    "invitation that has ended": invalid(
        lambda o: Invite(InvitationId(o.new), "ida@example.org", MEMBER, o.root, MONDAY),
        "the invitation would have ended at 2026-03-02T09:00:00Z already; give a moment to come",
    ),
    "invitation of a member": invalid(
        lambda o: Invite(InvitationId(o.new), "ANN@example.org", MEMBER, o.root, TOMORROW),
        "a member with the mail 'ANN@example.org' exists; use an override to change the access",
    ),
    "invitation accepted that never was": missing(lambda o: o.accept, "invitation"),
    "invitation ended that never was": missing(lambda o: EndInvitation(InvitationId(o.new)), "invitation"),
    "member removed that never was": missing(lambda o: RemoveMember(MemberId(o.new)), "member"),
    "member of a directory removed": (
        lambda o: RemoveMember(o.ann),
        RefusalCode.NOT_ALLOWED,
        "member 'Ann' is managed by a directory; remove the person there, or set a block",
    ),
    "unknown plan": invalid(
        lambda o: SetPlan("Gold"),
        "plan 'Gold' is not in the catalogue 'minut'; its plans are Starter, Standard, Pro, Enterprise",
    ),
    "open plan without a number": invalid(
        lambda o: SetPlan("Enterprise"),
        "plan 'Enterprise' has no number of seats of its own; give one, or say unlimited (MT-14)",
    ),
    "no seats at all": invalid(lambda o: SetPlan("Pro", 0), "a seat limit is a number from 1, or unlimited"),
    "owner who is nobody": missing(lambda o: TransferOwner(MemberId(o.new)), "member"),
    "second owner": invalid(
        lambda o: EnrolOwner(MemberId(o.new), "x@y.org", "X"), "the organisation has an owner; use a transfer"
    ),
    "unknown setting": invalid(
        lambda o: SetSettings({"colour": "red"}), f"setting 'colour=red' is not known here; {SETTINGS}"
    ),
    "unknown value of a setting": invalid(
        lambda o: SetSettings({"seat_policy": "evict"}),
        f"setting 'seat_policy=evict' is not known here; {SETTINGS}",
    ),
    "switch that is no yes or no": invalid(
        lambda o: SetSettings({"member_sees_sensor_data": "yes"}),
        f"setting 'member_sees_sensor_data=yes' is not known here; {SETTINGS}",
    ),
    "domain with a mail": invalid(
        lambda o: AddDomain("ann@example.org"), "'ann@example.org' is not a mail domain"
    ),
    "domain without a dot": invalid(lambda o: AddDomain("localhost"), "'localhost' is not a mail domain"),
    "directory of an unknown kind": invalid(
        lambda o: PutDirectory(DirectoryId(o.new), "csv", "x", {}),
        "'csv' is no kind of directory; there are scim, ldap, ldif",
    ),
    "directory that changes its kind": invalid(
        lambda o: PutDirectory(o.hq, "ldif", "hq", {}),
        "directory 'hq' is of the kind ldap and stays so; add another directory",
    ),
    "directory without a name": invalid(
        lambda o: PutDirectory(DirectoryId(o.new), "scim", " ", {}), "a directory needs a name"
    ),
    "directory with the name of another": invalid(
        lambda o: PutDirectory(DirectoryId(o.new), "ldap", "HQ", {}),
        "a directory named 'HQ' exists; choose another name",
    ),
    "directory with a wrong interval": invalid(
        lambda o: PutDirectory(DirectoryId(o.new), "ldif", "x", {"interval_seconds": 0}),
        "setting 'interval_seconds' of a directory is a whole number from 1, not '0'",
    ),
    "directory with a wrong limit": invalid(
        lambda o: PutDirectory(DirectoryId(o.new), "ldif", "x", {"guard_removed_users": "many"}),
        "setting 'guard_removed_users' of a directory is a whole number from 0, not 'many'",
    ),
    "directory with administrators by default": invalid(
        lambda o: PutDirectory(DirectoryId(o.new), "ldif", "x", {}, default_role=ADMIN),
        "Admin is equivalent to an administrator; nobody is one by default",
    ),
}


@on_sqlite_only
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_plain_words_and_leaves_only_its_event(office: Office, name: str) -> None:
    say, code, words = BAD[name]
    change = say(office)
    before = office.world.snapshot()

    refused = office.world.refuse(change)

    assert (refused.code, refused.message) == (code, words.replace("{new}", office.new))
    (body,) = office.world.new_bodies()
    assert (body["action"], body["outcome"], body["reason"]["code"]) == (
        "command.refused",
        "denied",
        code.value,
    )
    assert body["id"] == refused.event_id
    assert body["changes"] == [{"path": "command", "before": None, "after": [type(change).__name__]}]
    assert office.world.snapshot() == before


@pytest.mark.parametrize(
    "change",
    [
        PutRule(RuleId("barn"), GroupMatch(GroupId("01990000-0000-7000-8000-000000000000")), MEMBER, None),
        PutRule(
            RuleId("01990000-0000-7000-8000-000000000000"),
            GroupMatch(GroupId("barn")),
            MEMBER,
            ScopeId("barn"),
        ),
        RemoveRule(RuleId("barn")),
        PutScope(ScopeId("barn"), "unit", "Barn", "b", ()),
        RemoveScope(ScopeId("barn")),
        SetOverride(OverrideId("barn"), MemberId("barn"), (), "x", TOMORROW),
        EndOverride(OverrideId("barn")),
        SetBlock(MemberId("barn"), "x"),
        LiftBlock(MemberId("barn")),
        Invite(InvitationId("barn"), "a@b.org", MEMBER, ScopeId("barn"), TOMORROW),
        AcceptInvitation(InvitationId("barn"), MemberId("barn")),
        EndInvitation(InvitationId("barn")),
        RemoveMember(MemberId("barn")),
        TransferOwner(MemberId("barn")),
        PutDirectory(DirectoryId("barn"), "scim", "x", {}),
    ],
    ids=lambda change: type(change).__name__,
)
def test_what_is_no_id_is_refused_before_a_database_chokes_on_it(world: World, change: Change) -> None:
    refused = world.refuse(change)

    assert refused.code == "not_found"
    assert refused.message.startswith("there is no ")
    assert refused.message.endswith(" 'barn'; ids are UUIDs in small letters")


def test_one_bad_change_refuses_the_whole_command(office: Office) -> None:
    before = office.world.snapshot()

    office.world.refuse(AddDomain("example.org"), office.scope(), SetPlan("Gold"))

    assert office.world.snapshot() == before
    (body,) = office.world.new_bodies()
    assert body["changes"][0]["after"] == ["AddDomain", "PutScope", "SetPlan"]


# Rules


def test_a_rule_counts_its_versions_also_after_it_was_removed(office: Office) -> None:
    world, rule = office.world, PutRule(office.rule, GroupMatch(office.group), WORKER, office.unit)

    world.do(rule)
    world.do(RemoveRule(office.rule))
    world.do(rule)

    with world.read() as reader:
        assert [version.version for version in reader.rule_versions(office.rule)] == [1, 2, 3]
    assert world.held(office.ann) == {(WORKER, office.unit)}
    body = next(body for body in reversed(world.bodies()) if body["action"] == "mapping.created")
    assert {change["path"]: change["after"] for change in body["changes"]} == {
        "match": f"group {office.group}",
        "role": "Operator",
        "scope_id": office.unit,
        "priority": 100,
        "version": 3,
    }


def test_a_rule_on_a_deleted_group_is_refused(office: Office) -> None:
    office.world.push(office.hq, DeleteGroup(external("team")))

    refused = office.world.refuse(office.put_rule)

    assert refused.message == f"there is no group '{office.group}'; it may have been deleted in its directory"


def test_a_match_is_shown_as_one_line() -> None:
    hq = DirectoryId("d")

    assert render_match(GroupMatch(GroupId("g"))) == "group g"
    assert render_match(NameMatch(hq, "x-{unit}")) == "name x-{unit} in d"
    assert render_match(AttributeMatch(hq, "title pr")) == "filter title pr in d"


# Scopes and roles


def test_a_scope_with_nodes_below_it_is_kept(office: Office) -> None:
    world = office.world
    location = world.put_scope("North")
    world.put_scope("Unit 9", "unit", location)

    refused = world.refuse(RemoveScope(location))

    assert (refused.code, refused.message) == (
        "in_use",
        "scope 'North' still has nodes below it; remove or move them first",
    )


def test_a_scope_cannot_cover_itself(office: Office) -> None:
    world = office.world
    north = world.put_scope("North")
    house = world.put_scope("House", "building", north)

    refused = world.refuse(PutScope(north, "location", "North", "north", (house,)))

    assert "location 'North' would cover itself" in refused.message


@pytest.mark.parametrize(
    "use",
    [
        lambda o: PutRule(RuleId(o.new), GroupMatch(o.group), GUEST, o.unit),
        lambda o: SetOverride(OverrideId(o.new), o.ann, ((GUEST, o.unit),), "x", TOMORROW),
        lambda o: Invite(InvitationId(o.new), "ida@example.org", GUEST, o.unit, TOMORROW),
    ],
    ids=["rule", "override", "invitation"],
)
def test_a_role_in_use_cannot_be_removed(office: Office, use: Say) -> None:
    office.said(guest(), use(office))

    refused = office.world.refuse(RemoveRole(GUEST))

    assert (refused.code, refused.message) == (
        "in_use",
        "role 'guest' is in use; take it out of rules, default roles, overrides and invitations first",
    )


def test_a_role_given_by_an_accepted_invitation_or_by_default_is_in_use(office: Office) -> None:
    world = office.world
    world.do(guest(kinds=("unit", "organisation")))
    world.do(Invite(InvitationId(office.new), "ida@example.org", GUEST, office.unit, TOMORROW), office.accept)
    assert world.refuse(RemoveRole(GUEST)).code == "in_use"
    world.do(RemoveMember(MemberId(office.new)))

    world.do(PutDirectory(office.hq, "ldap", "hq", {}, default_role=GUEST))
    assert world.refuse(RemoveRole(GUEST)).code == "in_use"
    world.do(PutDirectory(office.hq, "ldap", "hq", {}))
    world.do(RemoveRole(GUEST))


def test_a_role_that_can_be_granted_elsewhere_now_is_followed(office: Office) -> None:
    world = office.world
    world.do(guest(), PutRule(RuleId(office.new), GroupMatch(office.group), GUEST, office.unit))
    assert (GUEST, office.unit) in world.held(office.ann)
    world.events()

    world.do(guest(kinds=("building",)))

    assert (GUEST, office.unit) not in world.held(office.ann)
    bodies = world.new_bodies()
    assert [body["action"] for body in bodies] == [
        "role_definition.updated",
        "mapping.dangling",
        "role.revoked",
    ]
    assert world.chain(bodies[2]) == ["role.revoked", "role_definition.updated"]


def test_a_default_role_that_becomes_an_administrators_is_nobodys_default(office: Office) -> None:
    world = office.world
    world.do(guest("tasks.view", kinds=("organisation",), rank=3))
    world.do(PutDirectory(office.hq, "ldap", "hq", {}, default_role=GUEST))
    world.push(office.hq, put_user("bob"))
    bob = world.member_of(office.hq, "bob")
    assert world.roles(bob) == ["guest"]

    world.do(guest("tasks.view", "members.invite", kinds=("organisation",), rank=3))

    assert world.held(bob) == set()
    world.check()


def test_permissions_said_in_another_order_are_the_same_role(office: Office) -> None:
    office.said(guest("tasks.view", "notifications.tasks"))
    office.world.events()

    office.said(guest("notifications.tasks", "tasks.view"))

    assert office.world.events() == []


# Who may say it


def admin(member_id: MemberId) -> AdminActor:
    return AdminActor(member_id)


def test_custom_roles_are_the_operators(office: Office) -> None:
    refused = office.world.refuse(guest(), actor=admin(office.world.owner))

    assert (refused.code, refused.message) == (
        "not_allowed",
        "custom roles are defined by the operator (MK-4)",
    )


def test_nobody_assigns_a_role_with_permissions_that_they_lack(office: Office) -> None:
    world = office.world
    say = PutRule(RuleId(office.new), GroupMatch(office.group), ADMIN, office.unit)

    refused = world.refuse(say, actor=admin(office.ann))

    assert refused.code == "not_allowed"
    assert refused.message.startswith("role 'Admin' has permissions that you lack (")
    assert refused.message.endswith("); ask someone who has them")
    for stranger in (MemberId(office.new), MemberId("chris")):
        assert world.refuse(say, actor=admin(stranger)).code == "not_allowed"
    world.do(say, actor=admin(world.owner))
    with world.read() as reader:
        assert reader.rule_versions(RuleId(office.new))[0].author == world.owner


@pytest.mark.parametrize(
    "say",
    [
        lambda o: SetOverride(OverrideId(o.new), o.ann, ((ADMIN, o.unit),), "x", TOMORROW),
        lambda o: Invite(InvitationId(o.new), "ida@example.org", ADMIN, o.unit, TOMORROW),
    ],
    ids=["override", "invitation"],
)
def test_nobody_gives_by_hand_what_they_lack(office: Office, say: Say) -> None:
    assert office.world.refuse(say(office), actor=admin(office.ann)).code == "not_allowed"


def test_an_admin_of_one_place_lacks_what_is_needed_at_the_organisation(office: Office) -> None:
    world = office.world
    world.grow(office.hq, "local", "lena", role=ADMIN, scope=office.unit)

    refused = world.refuse(office.put_rule, actor=admin(world.member_of(office.hq, "lena")))

    assert refused.code == "not_allowed"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (SetPlan("Standard"), "only the owner or the operator changes the plan (MT-15)"),
        (
            TransferOwner(MemberId("01990000-0000-7000-8000-000000000000")),
            "only the owner or the operator transfers the ownership (MT-16)",
        ),
    ],
)
def test_plan_and_ownership_are_the_owners_and_the_operators(
    office: Office, change: Change, words: str
) -> None:
    world = office.world
    world.grow(office.hq, "admins", "boss", role=ADMIN)

    refused = world.refuse(change, actor=admin(world.member_of(office.hq, "boss")))

    assert (refused.code, refused.message) == ("not_allowed", words)


@pytest.mark.parametrize("actor", [SystemActor("billing"), ApiKeyActor("key_1")])
def test_the_host_may_set_the_plan(office: Office, actor: Actor) -> None:
    office.world.do(SetPlan("Standard"), actor=actor)

    assert office.world.state.plan == "Standard"


def test_the_owner_may_hand_over(office: Office) -> None:
    world = office.world

    world.do(TransferOwner(office.ann), actor=admin(world.owner))

    assert world.state.owner_id == office.ann
    assert world.refuse(TransferOwner(office.ann), actor=TokenActor("t", office.hq)).code == "not_allowed"


def test_an_organisation_without_an_owner_gets_one_by_transfer_as_well(new_world: MakeWorld) -> None:
    world = new_world(catalogue="minikai", plan=None, with_owner=False)
    hq = world.team("ann")

    world.do(TransferOwner(world.member_of(hq, "ann")))

    assert world.roles(world.member_of(hq, "ann")) == ["Admin"]
    world.check()


def test_a_blocked_member_cannot_become_the_owner(office: Office) -> None:
    office.said(SetBlock(office.ann, "no"))

    refused = office.world.refuse(TransferOwner(office.ann))

    assert refused.message == "a blocked member cannot become the owner; lift the block first"


@pytest.mark.parametrize(
    ("actor", "author"),
    [
        (AdminActor("chris", is_operator=True), "chris"),
        (SystemActor("demo"), "demo"),
        (TokenActor("token_1", DirectoryId("d")), "token_1"),
        (RunActor(RunId("run_1"), DirectoryId("d")), "run_1"),
        (LoginActor("login_1"), "login_1"),
        (ApiKeyActor("key_1"), "key_1"),
    ],
)
def test_the_author_is_who_acted(office: Office, actor: Actor, author: str) -> None:
    office.world.do(office.put_rule, actor=actor)

    with office.world.read() as reader:
        assert reader.rule_versions(RuleId(office.new))[0].author == author


# Overrides, invitations, members


def test_an_override_id_says_one_thing(office: Office) -> None:
    office.said(office.override)

    refused = office.world.refuse(SetOverride(OverrideId(office.new), office.ann, (), "other", TOMORROW))

    assert refused.message == f"there is an override '{office.new}' that says something else; use a new id"


def test_an_override_that_has_ended_is_not_begun_again_by_saying_it_twice(office: Office) -> None:
    world = office.world
    world.do(office.override)
    world.do(EndOverride(OverrideId(office.new)))
    world.events()

    world.do(office.override)

    assert world.events() == []
    assert world.roles(office.ann) == ["Member"]


def test_an_invitation_id_says_one_thing(office: Office) -> None:
    office.said(office.invitation)

    refused = office.world.refuse(Invite(InvitationId(office.new), "x@y.org", MEMBER, office.root, TOMORROW))

    assert refused.message == f"there is an invitation '{office.new}' that says something else; use a new id"


def test_an_accepted_invitation_is_over(office: Office) -> None:
    world = office.world
    world.do(office.invitation)
    world.do(office.accept)

    assert world.refuse(office.accept).message == "the invitation is accepted"
    refused = world.refuse(EndInvitation(InvitationId(office.new)))
    assert refused.message == "the invitation is accepted; remove the member instead"


def test_an_invitation_cannot_be_accepted_after_its_end(office: Office) -> None:
    world = office.world
    world.do(office.invitation)
    world.clock.move(days=1)

    assert world.refuse(office.accept).message == "the invitation has ended; ask for a new one"
    with world.read() as reader:
        assert [one.invitation_id for one in reader.invitations_due(world.clock(), 9)] == [office.new]
    world.do(EndInvitation(InvitationId(office.new), expired=True))
    assert world.refuse(office.accept).message == "the invitation is expired"


def test_an_invited_member_can_later_be_linked_and_keeps_the_invited_grant(office: Office) -> None:
    world = office.world
    world.do(AddDomain("example.org"), office.invitation, office.accept)

    world.push(office.hq, put_user("ida"))

    ida = world.member_of(office.hq, "ida")
    assert (ida, world.record(ida).display_name) == (MemberId(office.new), "Ida")
    world.push(office.hq, DeleteUser(external("ida")))
    assert world.roles(ida) == ["Member"]
    assert not world.record(ida).is_deleted
    world.check()


def test_a_removed_member_is_gone_and_the_history_stays(office: Office) -> None:
    world = office.world
    world.do(office.invitation, office.accept)

    world.do(RemoveMember(MemberId(office.new)))

    assert world.record(MemberId(office.new)).is_deleted
    with world.read() as reader:
        (interval,) = reader.intervals_of(MemberId(office.new))
    assert interval.closed_at == world.clock()
    assert world.refuse(SetBlock(MemberId(office.new), "x")).code == "not_found"


# Settings, directories


def test_a_switch_is_stored_beside_the_others_and_audited(office: Office) -> None:
    world = office.world

    world.do(
        SetSettings({"member_sees_sensor_data": True, "seat_policy": "waitlist", "resolution": "priority"})
    )

    state = world.state
    assert (state.switches, state.seat_policy, state.resolution) == (
        {"member_sees_sensor_data": True},
        SeatPolicy.WAITLIST,
        "priority",
    )
    (body,) = world.new_bodies()
    assert body["changes"] == [
        {"path": "settings.member_sees_sensor_data", "before": False, "after": True},
        {"path": "settings.seat_policy", "before": "reject", "after": "waitlist"},
        {"path": "settings.resolution", "before": None, "after": "priority"},
    ]


def test_a_new_directory_with_an_interval_is_due_at_once(office: Office) -> None:
    office.said(office.directory)

    stored = office.world.stored_directory(DirectoryId(office.new))

    assert (stored.interval_seconds, stored.next_run_at) == (60, MONDAY)


@pytest.mark.parametrize(
    ("settings", "due"),
    [
        ({"file": "b.ldif", "interval_seconds": 60}, MONDAY),
        ({"file": "b.ldif", "interval_seconds": 30}, MONDAY + timedelta(hours=1)),
        ({"file": "b.ldif"}, None),
    ],
)
def test_new_settings_move_the_schedule_only_with_the_interval(
    office: Office, settings: dict[str, str | int | bool], due: datetime | None
) -> None:
    world = office.world
    world.do(office.directory)
    world.clock.move(hours=1)

    world.do(PutDirectory(DirectoryId(office.new), "ldif", "branch", settings))

    assert world.stored_directory(DirectoryId(office.new)).next_run_at == due


def test_settings_of_a_directory_are_audited_one_by_one(office: Office) -> None:
    office.said(office.directory)
    office.world.events()

    office.said(
        PutDirectory(
            DirectoryId(office.new), "ldif", "branch", {"interval_seconds": 60, "dialect": "openldap"}
        )
    )

    (body,) = office.world.new_bodies()
    assert body["changes"] == [
        {"path": "settings.dialect", "before": None, "after": "openldap"},
        {"path": "settings.file", "before": "a.ldif", "after": None},
    ]


def test_a_default_role_reaches_those_whom_no_rule_matches(office: Office) -> None:
    world = office.world
    world.push(office.hq, put_user("bob"), put_group("x"))
    world.events()

    world.do(PutDirectory(office.hq, "ldap", "hq", {}, default_role=WORKER))

    assert world.roles(world.member_of(office.hq, "bob")) == ["Operator"]
    assert world.roles(office.ann) == ["Member"]
    bodies = world.new_bodies()
    assert world.chain(bodies[-1])[-1] == "directory.updated"
    world.check()


def test_enrolling_the_owner_again_changes_nothing(office: Office) -> None:
    world = office.world

    world.do(EnrolOwner(world.owner, "olga@example.org", "Olga Owner"))

    assert world.events() == []
