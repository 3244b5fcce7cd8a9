"""Every action of the registry is written by somebody: one that nobody writes is a promise that nobody keeps."""

from datetime import timedelta
from pathlib import Path

import service
from audit.events import ACTIONS
from directory.changes import (
    AcceptInvitation,
    AddDomain,
    AddSubgroups,
    AllowStaged,
    DeactivateUser,
    DeleteGroup,
    DeleteUser,
    EndInvitation,
    EndOverride,
    GroupMatch,
    Invite,
    LiftBlock,
    NoteTokenEnding,
    PutDirectory,
    PutDirectorySecret,
    PutGroup,
    PutRole,
    PutRule,
    PutScope,
    PutToken,
    RejectStaged,
    RemoveMember,
    RemoveMembers,
    RemoveRole,
    RemoveRule,
    RemoveScope,
    RemoveSubgroups,
    RevokeToken,
    SetBlock,
    SetOverride,
    SetPlan,
    SetSettings,
    TransferOwner,
)
from directory.facts import GroupFacts
from directory.ids import DirectoryId, InvitationId, MemberId, OverrideId, RoleId, StreamId
from directory.sso_changes import (
    ClaimDomain,
    EndSessionsOf,
    EnforceLogin,
    LiftEnforcement,
    LinkLogin,
    NoteCertificateEnding,
    NoteDomainMissing,
    NoteMetadataFailure,
    PutRecoveryCodes,
    RecordTest,
    ReleaseDomain,
    RemoveConnection,
    ResumeEnforcement,
    TakeMetadata,
    UseRecoveryCode,
    VerifyDomain,
)
from directory.stream_changes import (
    NoteDeadLetter,
    NoteStreamFailed,
    NoteStreamRecovered,
    NoteStreamStuck,
    PauseStream,
    PutStream,
    RemoveStream,
    ReplayStream,
    ResumeStream,
)
from provisioning.foresight import Foresight, apply_previewed, preview_changes
from tests.builders import (
    ADMIN,
    MEMBER,
    MakeWorld,
    World,
    add_members,
    external,
    put_group,
    put_user,
)
from tests.provisioning.pushing import Idp
from tests.provisioning.signing import Provider, certificate, fingerprint
from tests.sealed import seal
from tests.sync.builders import group, person

OF_THE_SERVICE = {
    "organisation.created",
    "environment.loaded",
    "key.added",
    "key.rotated",
    "key.dropped",
    "log.key_rotated",
    "log.restore_declared",
    "log.retention_set",
    "log.retention_applied",
    "log.hold_set",
    "log.hold_lifted",
    "log.pii_erased",
    "review.started",
    "review.decided",
    "review.finished",
    "log.read",
    "scim_log.read",
    "scim_log.replayed",
    "export.created",
    "export.downloaded",
    "client.created",
    "client.deleted",
    "signing_key.rotated",
    "stream.tested",
}
"""Written above the write path; the journeys of the command line wait for them."""


def test_every_action_is_written(new_world: MakeWorld) -> None:
    world = new_world(plan="Standard", policy="waitlist")
    hq = by_a_directory(world)
    by_administrators(world, hq)
    by_tokens(world)
    by_runs(world)
    by_the_guard(world)
    by_single_sign_on(world)
    by_streams(world)
    ownerless = new_world(catalogue="minikai", plan=None, with_owner=False)
    by_a_last_admin(ownerless)

    written = {body["action"] for one in (world, ownerless) for body in one.bodies()}

    assert written == ACTIONS.keys() - OF_THE_SERVICE
    world.check()
    ownerless.check()


def test_the_actions_of_the_service_are_in_its_source() -> None:
    source = "".join(path.read_text() for path in Path(service.__file__).parent.rglob("*.py"))

    assert {action for action in OF_THE_SERVICE if f'"{action}"' in source} == OF_THE_SERVICE


def by_streams(world: World) -> None:
    stream_id = StreamId(world.new_id())
    secrets = {"signing_secret": b"signing"}
    url = "https://siem.example/hook"
    world.do(PutStream(stream_id, "siem", "webhook", {"url": url}, secrets, after=-1))
    last = seal(world.database, world.organisation_id, world.clock())
    world.do(PutStream(stream_id, "siem", "webhook", {"url": f"{url}/2"}))
    world.do(PauseStream(stream_id))
    world.do(ResumeStream(stream_id))
    world.do(ReplayStream(stream_id, -1))
    world.do(NoteDeadLetter(stream_id, last, world.new_id(), "answered 400"))
    world.do(NoteStreamStuck(stream_id, "answered 503"), NoteStreamRecovered(stream_id))
    world.do(NoteStreamFailed(stream_id, "answered 401"))
    world.do(RemoveStream(stream_id))


def by_a_directory(world: World) -> DirectoryId:
    hq = world.team("ann", "bob", "cid", "dora", "eve")
    world.push(hq, put_user("ann", display_name="Anna"), put_group("team", "The Team"), put_group("night"))
    world.push(hq, AddSubgroups(external("team"), (external("night"),)))
    world.push(hq, RemoveSubgroups(external("team"), (external("night"),)))
    world.push(hq, DeactivateUser(external("bob")))
    world.push(hq, put_user("bob"))
    world.push(hq, RemoveMembers(external("team"), (external("eve"),)), DeleteUser(external("dora")))
    world.push(hq, DeleteGroup(external("night")))
    world.push(hq, PutGroup(GroupFacts(external("team"), "The Team", client_id="t-1")))
    branch = world.put_directory("branch")
    world.push(branch, put_user("ann"))
    return hq


def by_administrators(world: World, hq: DirectoryId) -> None:
    ann, tomorrow = world.member_of(hq, "ann"), world.clock() + timedelta(days=1)
    unit = world.put_scope("Unit 1", "unit")
    world.do(PutScope(unit, "unit", "Harbour", "u1", (world.root,)))
    dangling = world.grow(hq, "cleaners", scope=unit)
    world.do(RemoveScope(unit))
    world.do(RemoveRule(dangling))
    rule_id = world.grow(hq, "others")
    world.do(PutRule(rule_id, GroupMatch(world.group(hq, "others").group_id), ADMIN, world.root))
    role = PutRole(RoleId("guest"), "Guest", ("tasks.view",), ("unit",), 1)
    world.do(role)
    world.do(PutRole(role.role, "Visitor", role.permissions, role.scope_kinds, role.rank))
    world.do(RemoveRole(role.role))
    override_id = OverrideId(world.new_id())
    world.do(SetOverride(override_id, ann, ((ADMIN, world.root),), "cover", tomorrow))
    world.do(EndOverride(override_id), SetBlock(ann, "lost laptop"))
    world.do(LiftBlock(ann), SetPlan("Pro"), SetSettings({"seat_policy": "reject"}), AddDomain("example.org"))
    for accepts in (True, False):
        invitation_id, ida = InvitationId(world.new_id()), MemberId(world.new_id())
        world.do(Invite(invitation_id, f"ida{accepts}@example.org", MEMBER, world.root, tomorrow))
        if accepts:
            world.do(AcceptInvitation(invitation_id, ida))
            world.do(RemoveMember(ida))
        else:
            world.do(EndInvitation(invitation_id))
    world.do(PutDirectory(hq, "ldap", "hq", {"note": "moved"}), PutDirectorySecret(hq, "password", b"secret"))
    preview = preview_changes(world.command(SetPlan("Standard")), **world.tools)
    assert isinstance(preview, Foresight)
    apply_previewed(world.command(SetPlan("Standard")), preview.plan_hash, **world.tools)
    world.refuse(SetPlan("Gold"))
    world.refuse(
        Invite(InvitationId(world.new_id()), "x@y.org", MEMBER, world.root, tomorrow), SetPlan("Gold")
    )
    world.do(SetPlan("Enterprise", 1))
    world.refuse(Invite(InvitationId(world.new_id()), "x@y.org", MEMBER, world.root, tomorrow))
    world.do(TransferOwner(ann))


def by_tokens(world: World) -> None:
    directory_id, token_id = world.put_directory("push", kind="scim"), world.new_id()
    ends_at = world.clock() + timedelta(days=1)
    world.do(PutToken(token_id, directory_id, "entra", f"usher_{token_id[4:8]}", bytes(32), ends_at))
    world.do(NoteTokenEnding(token_id, 1))
    world.do(RevokeToken(token_id))


def by_runs(world: World) -> None:
    hq = world.put_ldif("export")
    world.run(hq)
    world.export(person(1, "u1") + group(900, "team", "u1"))
    world.run(hq)
    world.export(person(1, "u1"))
    blocked = world.run(hq)
    world.run(hq, approval="0" * 64, approved_by="chris")
    world.run(hq, approval=blocked.plan_hash, approved_by="chris")


def by_the_guard(world: World) -> None:
    world.do(SetPlan("Enterprise", 20))
    idp = Idp(world, hold=True, guard_removed_users=0, guard_removed_users_percent=0)
    idp.staff(["lea", "max", "ned"])
    idp.push(*map(idp.off, ["lea", "max", "ned"]))
    idp.push(idp.user("lea"))
    world.do(AllowStaged(idp.directory_id, idp.members(["max"])), RejectStaged(idp.directory_id))


def by_single_sign_on(world: World) -> None:
    provider = Provider(world, clock_skew_seconds=60)
    connection_id = provider.connection_id
    world.do(ClaimDomain("acme.example", "usher-domain=0123456789abcdef"), VerifyDomain("acme.example"))
    idp, old, new = world.put_directory("staff"), certificate("old", days=30), certificate("new")
    world.push(idp, put_user("sam", mails=("sam@acme.example",)))
    sam = world.member_of(idp, "sam")
    world.do(provider.put(clock_skew_seconds=30), provider.certificate(old, "staged"))
    world.do(provider.certificate(old), NoteCertificateEnding(connection_id, fingerprint(old), 30))
    world.do(TakeMetadata(connection_id, "<md/>", {}, (new,)), NoteMetadataFailure(connection_id, "timeout"))
    assert provider.sign_in("sam-1", "sam@acme.example").session is not None
    assert provider.sign_in("eve-1", "eve@acme.example").denial == "no_member"
    world.do(LinkLogin(connection_id, "sam-2", sam, "relink"), EndSessionsOf(sam, "revoked"))
    world.do(RecordTest(connection_id, "t-1", has_passed=True, version=provider.stored.version))
    world.do(EnforceLogin(connection_id))
    world.do(NoteDomainMissing("acme.example"))
    world.clock.move(hours=72)
    world.do(NoteDomainMissing("acme.example"), LiftEnforcement("idp_down", suspended=True))
    world.do(VerifyDomain("acme.example"), ResumeEnforcement())
    owner = world.state.owner_id
    assert owner is not None
    world.do(PutRecoveryCodes(owner, (bytes(32),)), UseRecoveryCode(bytes(32), provider.open()))
    world.do(LiftEnforcement("by_hand"), ReleaseDomain("acme.example"), RemoveConnection(connection_id))


def by_a_last_admin(world: World) -> None:
    """In an organisation without an owner."""
    hq = world.put_directory()
    world.grow(hq, "admins", "zoe", role=ADMIN)
    world.push(hq, DeactivateUser(external("zoe")))
    world.push(hq, put_user("yan"), add_members("admins", "yan"))
