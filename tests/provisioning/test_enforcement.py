"""The obligation to sign in: after a passed test only, and with a way in that goes no further than its repair."""

from datetime import timedelta
from hashlib import sha256

import pytest

from audit.actors import AdminActor, LoginActor
from directory.changes import SetBlock, TransferOwner
from directory.ids import MemberId
from directory.sso_changes import (
    EnforceLogin,
    LiftEnforcement,
    PutRecoveryCodes,
    RecordTest,
    ResumeEnforcement,
    UseRecoveryCode,
)
from provisioning.errors import RefusalCode
from provisioning.logins import Enforcement
from tests.builders import World, on_sqlite_only, put_user
from tests.provisioning.signing import Provider, changed, own_domain

IDA, OLE = AdminActor("ida", is_operator=True), AdminActor("ole", is_operator=True)


def passed(provider: Provider, *, has_passed: bool = True, version: int = 1, failed: str = "") -> RecordTest:
    return RecordTest(provider.connection_id, "t-1", has_passed, version, failed)


def digest(code: str) -> bytes:
    return sha256(code.encode()).digest()


def enforcement(world: World) -> Enforcement | None:
    with world.read() as reader:
        return reader.sso.enforcement()


@pytest.fixture
def provider(world: World) -> Provider:
    own_domain(world)
    return Provider(world)


def test_who_has_passed_the_test_may_enforce(world: World, provider: Provider) -> None:
    world.do(passed(provider), actor=IDA)
    world.do(EnforceLogin(provider.connection_id), actor=IDA)
    world.do(EnforceLogin(provider.connection_id), actor=IDA)

    assert enforcement(world) == Enforcement(provider.connection_id, "ida", world.clock())
    tested, enforced = world.new_bodies()
    assert (tested["action"], changed(tested)) == ("connection.tested", {"test_id": "t-1", "version": 1})
    assert enforced["action"] == "connection.enforced"


def test_nobody_enforces_without_a_test_of_their_own_on_what_is_there_now(
    world: World, provider: Provider
) -> None:
    enforce = EnforceLogin(provider.connection_id)
    assert world.refuse(enforce, actor=IDA).code is RefusalCode.NOT_TESTED
    world.do(passed(provider), actor=OLE)
    assert world.refuse(enforce, actor=IDA).numbers == (("version", 1), ("tested", 0))
    world.do(passed(provider, has_passed=False, failed="audience"), actor=IDA)
    assert world.refuse(enforce, actor=IDA).code is RefusalCode.NOT_TESTED
    world.do(passed(provider), actor=IDA)
    world.do(provider.put(clock_skew_seconds=1))
    assert world.refuse(enforce, actor=IDA).numbers == (("version", 2), ("tested", 1))
    world.do(passed(provider, version=2), actor=IDA)
    world.do(enforce, actor=IDA)


def test_a_failed_test_names_its_check(world: World, provider: Provider) -> None:
    world.do(passed(provider, has_passed=False, failed="audience"))

    (body,) = world.new_bodies()
    assert (body["outcome"], changed(body)["failed_check"]) == ("failure", "audience")


@on_sqlite_only
def test_what_can_be_no_test_is_refused(world: World, provider: Provider) -> None:
    bad = [
        passed(provider, version=2),
        passed(provider, version=0),
        passed(provider, failed="<b>"),
        RecordTest(provider.connection_id, "", has_passed=True, version=1),
    ]

    assert {world.refuse(change).code for change in bad} == {RefusalCode.INVALID}


@on_sqlite_only
def test_enforcing_needs_a_domain_and_an_enabled_connection(world: World) -> None:
    provider = Provider(world)
    world.do(passed(provider))
    enforce = EnforceLogin(provider.connection_id)

    assert "no mail domain" in world.refuse(enforce).message
    own_domain(world)
    world.do(provider.put(disabled=True), passed(provider, version=2))
    assert "is disabled" in world.refuse(enforce).message
    assert world.refuse(enforce, actor=LoginActor("login-1")).code is RefusalCode.NOT_ALLOWED


def test_the_obligation_is_lifted_suspended_and_resumed(world: World, provider: Provider) -> None:
    world.do(LiftEnforcement("idp_down"), ResumeEnforcement(), LiftEnforcement("idp_down", suspended=True))
    assert world.events() == []
    world.do(passed(provider), EnforceLogin(provider.connection_id))
    world.events()

    world.do(LiftEnforcement("idp_down", suspended=True))
    world.do(LiftEnforcement("idp_down", suspended=True))
    resting = enforcement(world)
    world.do(ResumeEnforcement(), ResumeEnforcement())
    holding = enforcement(world)
    world.do(LiftEnforcement("by_hand"))

    assert resting is not None
    assert holding is not None
    assert (resting.suspended_reason, holding.suspended_at, enforcement(world)) == ("idp_down", None, None)
    assert world.events() == [
        "connection.enforcement_suspended",
        "connection.enforcement_resumed",
        "connection.enforcement_lifted",
    ]
    assert world.refuse(LiftEnforcement("By hand!")).code is RefusalCode.INVALID


def test_what_rests_for_another_reason_is_enforced_anew(world: World, provider: Provider) -> None:
    world.do(
        passed(provider), EnforceLogin(provider.connection_id), LiftEnforcement("idp_down", suspended=True)
    )

    world.do(EnforceLogin(provider.connection_id))

    holding = enforcement(world)
    assert holding is not None
    assert holding.suspended_at is None


@on_sqlite_only
def test_nothing_resumes_without_a_domain(world: World) -> None:
    assert "no mail domain" in world.refuse(ResumeEnforcement()).message


# Recovery codes


def codes(member_id: MemberId, *names: str) -> PutRecoveryCodes:
    return PutRecoveryCodes(member_id, tuple(map(digest, names)))


def test_a_recovery_code_lets_the_owner_in_once_and_for_a_short_while(
    world: World, provider: Provider
) -> None:
    world.do(codes(world.owner, "one", "two"))
    (armed,) = world.new_bodies()
    assert changed(armed) == {"codes": 2}

    session = provider.open(token_sha256=digest("token"))
    world.do(UseRecoveryCode(digest("one"), session), actor=LoginActor("login-1"))

    (stored,) = provider.sessions(world.owner)
    assert (stored.kind, stored.connection_id) == ("breakglass", None)
    assert stored.expires_at == world.clock() + timedelta(minutes=30)
    (used,) = world.new_bodies()
    assert (used["action"], used["targets"][0]["id"]) == ("breakglass.used", world.owner)
    assert digest("one").hex() not in str((armed, used))
    again = world.refuse(UseRecoveryCode(digest("one"), provider.open()))
    assert again.code is RefusalCode.RECOVERY_CODE_INVALID


def test_codes_of_somebody_who_is_out_are_good_no_more(world: World, provider: Provider) -> None:
    hq = world.team("ada")
    ada = world.member_of(hq, "ada")
    world.do(codes(world.owner, "one"), codes(ada, "two"))
    world.do(SetBlock(ada, "lost laptop"))

    for code in (digest("two"), digest("never"), b"short"):
        refused = world.refuse(UseRecoveryCode(code, provider.open()))
        assert refused.message == "this recovery code is not good, or was used before"


def test_two_members_have_codes_the_owner_among_them(world: World) -> None:
    hq = world.team("ada", "bea")
    ada, bea = world.member_of(hq, "ada"), world.member_of(hq, "bea")
    assert "make the owner's first" in world.refuse(codes(ada, "a")).message
    world.do(codes(world.owner, "o"), codes(ada, "a"))
    assert "2 members at most" in world.refuse(codes(bea, "b")).message
    assert "the owner is among those" in world.refuse(codes(world.owner)).message
    world.events()

    world.do(codes(ada), codes(ada), codes(bea, "b"))
    world.do(codes(bea), codes(world.owner))

    assert world.events() == ["breakglass.armed"] * 4
    with world.read() as reader:
        assert reader.sso.recovery_codes() == []


def test_a_new_owner_gets_codes_when_the_former_one_s_are_gone(world: World) -> None:
    hq = world.team("ada", "bea")
    ada, former = world.member_of(hq, "ada"), world.owner
    world.do(codes(former, "o"), codes(world.member_of(hq, "bea"), "b"), TransferOwner(ada))

    assert "2 members at most" in world.refuse(codes(ada, "a")).message
    world.do(codes(former))
    world.do(codes(ada, "a"))


@on_sqlite_only
def test_what_can_be_no_recovery_code_is_refused(world: World, provider: Provider) -> None:
    hq = world.put_directory()
    world.push(hq, put_user("ada", active=False))
    bad = [
        codes(world.owner, *map(str, range(21))),
        codes(world.owner, "same", "same"),
        PutRecoveryCodes(world.owner, (b"short",)),
        codes(world.member_of(hq, "ada"), "a"),
    ]

    assert {world.refuse(change).code for change in bad} == {RefusalCode.INVALID}
    missing = world.refuse(codes(MemberId(world.new_id()), "a"))
    assert missing.code is RefusalCode.NOT_FOUND
    own = world.refuse(codes(world.owner, "a"), actor=LoginActor("login-1"))
    assert own.code is RefusalCode.NOT_ALLOWED
    world.do(codes(world.owner, "a"))
    assert (
        world.refuse(UseRecoveryCode(digest("a"), provider.open(token_sha256=b""))).code
        is RefusalCode.INVALID
    )
