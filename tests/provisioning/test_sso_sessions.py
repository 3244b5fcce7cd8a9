"""Sessions: opened for active members, ended with them, and never twice."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from audit.actors import LoginActor
from directory.changes import Change, Invite, RemoveMember, SetBlock
from directory.ids import ConnectionId, InvitationId, MemberId, SessionId
from directory.sso_changes import (
    DenyLogin,
    EndSession,
    EndSessionsOf,
    FollowMail,
    LinkLogin,
    OpenSession,
)
from provisioning.errors import RefusalCode
from tests.builders import MEMBER, World, on_sqlite_only
from tests.provisioning.pushing import Idp
from tests.provisioning.signing import Provider, changed


def live(provider: Provider, member_id: MemberId) -> list[str]:
    return [session.session_id for session in provider.sessions(member_id)]


def test_a_session_ends_with_its_token_unsaid(world: World) -> None:
    provider = Provider(world)
    said = provider.open(world.owner, name_id="<NameID>canary</NameID>", session_index="canary-1")
    world.do(said)
    assert live(provider, world.owner) == [said.session_id]

    world.do(EndSession(said.session_id, "logout"))
    world.do(EndSession(said.session_id, "logout"))

    assert live(provider, world.owner) == []
    opened, ended = world.new_bodies()
    assert (opened["action"], ended["action"]) == ("sso.login", "sso.logout")
    assert changed(ended)["sessions_ended"] == 1
    assert ended["reason"]["code"] == "logout"
    assert "canary" not in str((opened, ended))
    assert "canary" not in repr(said)
    assert said.token_sha256.hex() not in str((opened, ended)) + repr(said)


def test_all_sessions_of_a_member_end_together(world: World) -> None:
    provider = Provider(world)
    world.do(provider.open(world.owner), provider.open(world.owner))
    world.events()

    world.do(EndSessionsOf(world.owner, "revoked"))
    world.do(EndSessionsOf(world.owner, "revoked"))

    (body,) = world.new_bodies()
    assert changed(body) == {"sessions_ended": 2}
    assert live(provider, world.owner) == []


def test_a_connection_s_own_limit_ends_the_session_sooner(world: World) -> None:
    provider = Provider(world, session_minutes=30)

    world.do(provider.open(world.owner))

    (session,) = provider.sessions(world.owner)
    assert session.expires_at == world.clock() + timedelta(minutes=30)


def deactivated(world: World, idp: Idp) -> None:
    idp.push(idp.off("ada"))


def deleted(world: World, idp: Idp) -> None:
    idp.push(idp.delete("ada"))


def blocked(world: World, idp: Idp) -> None:
    world.do(SetBlock(idp.member("ada"), "lost laptop"))


@pytest.mark.parametrize("leave", [deactivated, deleted, blocked])
def test_whoever_leaves_is_signed_out_in_the_same_transaction(
    world: World, leave: Callable[[World, Idp], None]
) -> None:
    idp, provider = Idp(world), Provider(world)
    idp.staff(["ada", "bea"])
    ada, bea = idp.members(["ada", "bea"])
    world.do(provider.open(ada), provider.open(ada), provider.open(bea))
    world.events()

    leave(world, idp)

    assert (live(provider, ada), len(live(provider, bea))) == ([], 1)
    (told,) = [body for body in world.new_bodies() if body["action"].startswith("member.")]
    assert changed(told) == {"active": False, "sessions_ended": 2}


def test_a_removed_member_is_signed_out(world: World) -> None:
    provider = Provider(world)
    ends_at = world.clock() + timedelta(days=1)
    world.do(Invite(InvitationId(world.new_id()), "gil@guest.example", MEMBER, world.root, ends_at))
    outcome = provider.sign_in("gil-1", "gil@guest.example")
    assert outcome.member_id is not None

    world.do(RemoveMember(outcome.member_id))

    assert live(provider, outcome.member_id) == []


def test_nobody_is_signed_in_whom_the_same_command_puts_out(world: World) -> None:
    hq, provider = world.team("ada"), Provider(world)
    ada = world.member_of(hq, "ada")

    refused = world.refuse(provider.open(ada), SetBlock(ada, "lost laptop"))

    assert refused.code is RefusalCode.NOT_ALLOWED
    assert live(provider, ada) == []


@on_sqlite_only
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"token_sha256": b"short"}, "a session is known by the SHA-256 digest of its token"),
        ({"expires_at": None}, "a session ends at a moment to come, within 30 days"),
        ({"kind": "breakglass"}, "a session without a connection is opened by a recovery code alone"),
        ({"connection_id": None}, "a session without a connection is opened by a recovery code alone"),
        ({"name_id": "x" * 8193}, "a text of the session is too long, or can not be stored"),
        ({"user_agent": "a\0"}, "a text of the session is too long, or can not be stored"),
    ],
)
def test_what_can_be_no_session_is_refused(world: World, values: dict[str, object], words: str) -> None:
    provider = Provider(world)
    if "expires_at" in values:
        values = {"expires_at": world.clock() + timedelta(days=31)}

    assert world.refuse(provider.open(world.owner, **values)).message == words


@on_sqlite_only
def test_a_session_has_an_id_of_its_own_and_an_open_connection(world: World) -> None:
    provider = Provider(world)
    said = provider.open(world.owner)
    world.do(said)

    assert world.refuse(said).message == f"there is a session '{said.session_id}'; use a new id"
    world.do(provider.put(disabled=True))
    assert world.refuse(provider.open(world.owner)).message == "the connection 'entra' is disabled"


@on_sqlite_only
def test_what_is_not_there_is_told(world: World) -> None:
    provider = Provider(world)
    new = world.new_id()
    missing: list[Change] = [
        EndSession(SessionId(new), "logout"),
        EndSession(SessionId("x"), "logout"),
        EndSessionsOf(MemberId(new), "revoked"),
        LinkLogin(ConnectionId(new), "k", world.owner, "relink"),
        LinkLogin(provider.connection_id, "k", MemberId(new), "relink"),
        FollowMail(MemberId(new), "a@b.example"),
        provider.open(MemberId(new)),
    ]

    assert {world.refuse(change).code for change in missing} == {RefusalCode.NOT_FOUND}
    assert world.refuse(EndSessionsOf(world.owner, "Because!")).code is RefusalCode.INVALID


# Links


def test_relinking_moves_the_key_and_signs_both_out(world: World) -> None:
    hq, provider, other = world.team("ada", "bea"), Provider(world), Provider(world, "okta")
    ada, bea = world.member_of(hq, "ada"), world.member_of(hq, "bea")
    world.do(LinkLogin(provider.connection_id, "key-1", ada, "mail"))
    world.do(LinkLogin(provider.connection_id, "key-2", bea, "mail"))
    elsewhere = other.open(ada)
    world.do(provider.open(ada), provider.open(bea), elsewhere)
    world.events()

    world.do(LinkLogin(provider.connection_id, "key-1", bea, "relink"))
    world.do(LinkLogin(provider.connection_id, "key-1", bea, "relink"))

    with world.read() as reader:
        links = [(link.key, link.member_id) for link in reader.sso.links_of([ada, bea])]
    assert links == [("key-1", bea)]
    assert (live(provider, ada), live(provider, bea)) == ([elsewhere.session_id], [])
    moved, *logouts = world.new_bodies()
    assert [target["id"] for target in moved["targets"]] == [bea, ada]
    assert [world.chain(body) for body in logouts] == [["sso.logout", "sso.identity_moved"]] * 2


def test_a_link_is_made_once_and_moved_by_a_human(world: World) -> None:
    hq, provider = world.team("ada"), Provider(world)
    ada = world.member_of(hq, "ada")
    link = LinkLogin(provider.connection_id, "key-1", ada, "mail")
    world.do(link)
    world.events()
    world.do(link)

    assert world.events() == []
    other = LinkLogin(provider.connection_id, "key-1", world.owner, "mail")
    assert world.refuse(other).message == "the key is another member's; move it by relinking"
    relink = LinkLogin(provider.connection_id, "key-1", world.owner, "relink")
    assert world.refuse(relink, actor=LoginActor("login-1")).code is RefusalCode.NOT_ALLOWED


@on_sqlite_only
@pytest.mark.parametrize(
    ("key", "linked_by"), [("k", "guess"), ("", "mail"), (" k", "mail"), ("k" * 401, "mail")]
)
def test_what_can_be_no_link_is_refused(world: World, key: str, linked_by: str) -> None:
    provider = Provider(world)

    refused = world.refuse(LinkLogin(provider.connection_id, key, world.owner, linked_by))

    assert refused.code is RefusalCode.INVALID


# Refused logins


def test_a_refused_login_is_written_with_its_reason(world: World) -> None:
    provider = Provider(world)
    numbers = (("skew", 130),)

    world.do(
        DenyLogin(provider.connection_id, "expired", "REF-7", numbers, world.owner),
        DenyLogin(None, "malformed", ""),
        DenyLogin(None, "malformed", "REF-8", member_id=MemberId(world.new_id())),
    )

    known, unknown, nobody = world.new_bodies()
    assert known["reason"] == {"code": "expired", "numbers": {"skew": 130}}
    assert [target["type"] for target in known["targets"]] == ["member", "connection"]
    assert {body["outcome"] for body in (known, unknown, nobody)} == {"denied"}
    assert ("targets" in unknown, "changes" in unknown) == (False, False)
    assert changed(nobody) == {"reference": "REF-8"}


@on_sqlite_only
@pytest.mark.parametrize(("reason", "reference"), [("<b>", "REF"), ("", "REF"), ("expired", "r" * 500)])
def test_a_reason_is_one_word_and_a_reference_short(world: World, reason: str, reference: str) -> None:
    assert world.refuse(DenyLogin(None, reason, reference)).code is RefusalCode.INVALID


def test_a_session_says_nothing_of_its_secrets() -> None:
    hidden = {"token_sha256", "name_id", "session_index"}

    shown = {name for name, one in OpenSession.__dataclass_fields__.items() if one.repr}
    assert not hidden & shown
