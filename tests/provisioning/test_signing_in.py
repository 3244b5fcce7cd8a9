"""Who a proven person is: by the link, the directory's id, the mail of an own domain, an invitation, or made."""

from datetime import timedelta

import pytest

from directory.changes import AcceptInvitation, AddDomain, Invite, PutDirectory, PutUser, SetBlock, SetPlan
from directory.facts import UserFacts
from directory.ids import ConnectionId, ExternalId, InvitationId, MemberId
from directory.sso_changes import EnforceLogin, LiftEnforcement, LinkLogin, RecordTest
from provisioning.identity import IdentityDenial, LoginBy, is_plain_mail
from provisioning.logins import Person
from provisioning.signing_in import MOST_GROUPS, LoginOutcome, sign_in
from provisioning.state import Seat
from saml.errors import Denial
from tests.builders import ADMIN, MEMBER, MakeWorld, World, on_sqlite_only, put_user
from tests.provisioning.pushing import Idp
from tests.provisioning.signing import Provider, changed, own_domain


@pytest.fixture
def ours(world: World) -> World:
    """An organisation that has verified `example.org`."""
    own_domain(world)
    return world


def pushed(world: World, name: str = "ada", client_id: str = "oid-1") -> MemberId:
    """A SCIM directory's user, who is a member."""
    directory_id = world.put_directory("scim", kind="scim", default_role=MEMBER)
    user_id = ExternalId(world.new_id())
    facts = UserFacts(user_id, name, mails=(f"{name}@example.org",), client_id=client_id, resource={})
    world.push(directory_id, PutUser(facts))
    world.events()
    with world.read() as reader:
        return reader.users_by_external_id(directory_id, [user_id])[user_id].member_id


def denied(outcome: LoginOutcome) -> str | None:
    assert outcome.session is None
    return outcome.denial


def links(world: World, member_id: MemberId) -> list[tuple[str, str]]:
    with world.read() as reader:
        return [(link.key, link.linked_by) for link in reader.sso.links_of([member_id])]


def test_every_denial_is_a_reason_of_the_closed_list() -> None:
    assert {one.value for one in IdentityDenial} <= {one.value for one in Denial}


# By the mail of an own domain, and then by the link


def test_the_first_login_links_by_the_mail_of_an_own_domain(ours: World) -> None:
    provider = Provider(ours)

    outcome = provider.sign_in(" olga-1 ", " Olga@Example.ORG ", groups=("a", "b"))

    assert (outcome.denial, outcome.member_id, outcome.by) == (None, ours.owner, LoginBy.MAIL)
    assert outcome.linked_by == "mail"
    assert outcome.roles == ((ADMIN, ours.root),)
    assert outcome.session is not None
    assert provider.sessions(ours.owner) == [outcome.session]
    assert links(ours, ours.owner) == [("olga-1", "mail")]
    linked, login = ours.new_bodies()
    assert (linked["action"], changed(linked)) == ("member.linked", {"linked_by": "mail"})
    assert (login["action"], login["actor"]["type"]) == ("sso.login", "login")
    assert login["cause"] == {"kind": "sso_assertion", "login_id": login["actor"]["id"]}
    assert changed(login) == {
        "session_id": outcome.session.session_id,
        "kind": "login",
        "authn_instant": "2026-03-02T09:00:00Z",
        "connection_id": provider.connection_id,
        "linked_by": "mail",
        "groups": ["a", "b"],
    }


def test_the_link_is_exact_and_outlives_the_mail(ours: World) -> None:
    provider = Provider(ours)
    provider.sign_in("olga-1", "olga@example.org")

    assert provider.sign_in("olga-1", "somebody@else.example").by is LoginBy.LINK
    assert provider.sign_in("olga-1").member_id == ours.owner
    for key in ("OLGA-1", "olga-1\u200b", "\u200bolga-1", "olga-1\u2060"):
        assert denied(provider.sign_in(key, "olga@example.org")) == "identity_ambiguous"
        assert denied(provider.sign_in(key)) == "no_member"


def test_a_login_is_no_change_of_access(ours: World) -> None:
    provider = Provider(ours)
    version = ours.state.access_version

    provider.sign_in("olga-1", "olga@example.org")

    assert ours.state.access_version == version


@pytest.mark.parametrize(
    "mail",
    [
        "ol\u200bga@example.org",
        "olga@exam\u200bple.org",
        "\uff4flga@example.org",
        "olga\u00a0@example.org",
        "olga",
        "@example.org",
    ],
)
def test_a_mail_that_only_looks_the_same_is_nobody_s(ours: World, mail: str) -> None:
    assert denied(Provider(ours, jit=True).sign_in("eve", mail)) == "identity_ambiguous"
    assert links(ours, ours.owner) == []


@pytest.mark.parametrize(("mail", "plain"), [("Ä@x.org", True), ("straße@x.org", False), ("a@X.org", True)])
def test_a_plain_mail_equals_itself_but_for_case(mail: str, plain: bool) -> None:
    assert is_plain_mail(mail) is plain


def test_an_address_of_a_foreign_domain_links_nobody(world: World) -> None:
    provider = Provider(world)

    assert denied(provider.sign_in("olga-1", "olga@example.org")) == "domain_not_verified"
    (body,) = world.new_bodies()
    assert (body["action"], body["outcome"], body["reason"]["code"]) == (
        "sso.login_denied",
        "denied",
        "domain_not_verified",
    )
    assert changed(body) == {"reference": "REF-1", "connection_id": provider.connection_id}


def test_a_domain_that_another_organisation_verified_links_nobody(world: World, new_world: MakeWorld) -> None:
    own_domain(new_world())

    assert denied(Provider(world, jit=True).sign_in("olga-1", "olga@example.org")) == "domain_not_verified"


def test_a_second_connection_links_by_the_tool_only(ours: World) -> None:
    first, second = Provider(ours), Provider(ours, "okta")
    first.sign_in("olga-1", "olga@example.org")

    assert denied(second.sign_in("olga-2", "olga@example.org")) == "identity_ambiguous"
    ours.do(LinkLogin(second.connection_id, "olga-2", ours.owner, "relink"))
    assert second.sign_in("olga-2").member_id == ours.owner


def test_two_members_of_one_mail_are_nobody(ours: World) -> None:
    hq = ours.put_directory()
    ours.push(hq, put_user("ada"), put_user("bea", mails=("ada@example.org",)))

    assert denied(Provider(ours).sign_in("ada-1", "ada@example.org")) == "identity_ambiguous"


def test_without_key_or_mail_nobody_is_known(ours: World) -> None:
    provider = Provider(ours, jit=True)

    assert denied(provider.sign_in("  ", "olga@example.org")) == "identity_missing"
    assert denied(provider.sign_in("k" * 401, "olga@example.org")) == "identity_missing"
    assert denied(provider.sign_in("olga-1")) == "no_member"
    assert denied(provider.sign_in("olga-1", "o" * 401 + "@example.org")) == "identity_ambiguous"


def test_a_connection_that_is_not_there_or_disabled_signs_nobody_in(ours: World) -> None:
    provider = Provider(ours, disabled=True)

    assert denied(provider.sign_in("olga-1", "olga@example.org")) == "connection_disabled"
    person = Person("olga-1", "olga@example.org")
    gone = ConnectionId(ours.new_id())
    assert sign_in(gone, person, provider.open(), reference="R", **ours.tools).denial == "connection_unknown"
    assert ours.events() == ["sso.login_denied", "sso.login_denied"]


# Where another connection is obligatory


def enforced(world: World) -> Provider:
    """A connection over which people of the organisation's domain must sign in."""
    provider = Provider(world, "obligatory")
    world.do(RecordTest(provider.connection_id, "t-1", has_passed=True, version=provider.stored.version))
    world.do(EnforceLogin(provider.connection_id))
    world.events()
    return provider


def test_people_of_an_own_domain_do_not_pass_by_the_obligatory_connection(ours: World) -> None:
    other, obligatory = Provider(ours), enforced(ours)

    assert denied(other.sign_in("olga-1", "olga@example.org")) == "other_connection_required"
    assert ours.events() == ["sso.login_denied"]
    assert links(ours, ours.owner) == []
    assert obligatory.sign_in("olga-1", "olga@example.org").denial is None


def test_a_link_of_before_does_not_pass_by_it_either(ours: World) -> None:
    other = Provider(ours)
    other.sign_in("olga-1", "olga@example.org")
    enforced(ours)

    assert denied(other.sign_in("olga-1")) == "other_connection_required"


def test_a_test_login_and_a_suspended_obligation_are_no_matter(ours: World) -> None:
    other = Provider(ours)
    enforced(ours)

    assert other.rehearse("olga-1", "olga@example.org").denial is None
    ours.do(LiftEnforcement("outage", suspended=True))
    assert other.sign_in("olga-1", "olga@example.org").denial is None


def test_a_guest_of_another_domain_signs_in_over_any_connection(ours: World) -> None:
    guest, other = MemberId(ours.new_id()), Provider(ours)
    invitation = InvitationId(ours.new_id())
    ours.do(Invite(invitation, "guest@else.example", MEMBER, ours.root, ours.clock() + timedelta(days=1)))
    ours.do(AcceptInvitation(invitation, guest))
    ours.do(LinkLogin(other.connection_id, "guest-1", guest, "relink"))
    enforced(ours)

    assert other.sign_in("guest-1", "guest@else.example").denial is None


# By the directory's id


def test_the_first_login_links_by_the_directory_s_own_id(world: World) -> None:
    ada = pushed(world)
    provider = Provider(world)

    assert provider.sign_in("ada-1", external_id="oid-1").by is LoginBy.EXTERNAL_ID
    assert provider.sign_in("ada-1").member_id == ada
    assert denied(Provider(world, "okta").sign_in("OID-1")) == "no_member"


def test_the_key_itself_may_be_the_directory_s_id(world: World) -> None:
    ada = pushed(world)

    assert Provider(world).sign_in("oid-1").member_id == ada


def test_another_key_for_a_linked_member_is_for_a_human_to_judge(world: World) -> None:
    pushed(world)
    provider = Provider(world)
    provider.sign_in("ada-1", external_id="oid-1")

    assert denied(provider.sign_in("ada-2", external_id="oid-1")) == "identity_ambiguous"


def test_an_id_of_two_members_is_nobody_s(world: World) -> None:
    directory_id = world.put_directory("scim", kind="scim")
    for name in ("ada", "bea"):
        facts = UserFacts(ExternalId(world.new_id()), name, client_id="oid-1", resource={})
        world.push(directory_id, PutUser(facts))

    assert denied(Provider(world).sign_in("x", external_id="oid-1")) == "identity_ambiguous"


def test_what_another_connection_made_is_found_by_no_key(ours: World) -> None:
    first, second = Provider(ours, jit=True), Provider(ours, "okta")
    first.sign_in("ada-1", "ada@example.org")

    assert denied(second.sign_in("ada-1")) == "no_member"


def test_an_id_that_cannot_be_stored_is_nobody_s(ours: World) -> None:
    assert denied(Provider(ours).sign_in("x", external_id="e" * 401)) == "no_member"


# Deactivated, blocked, gone


def test_who_is_deactivated_is_refused_and_not_made_again(ours: World) -> None:
    idp = Idp(ours)
    idp.staff(["ada"])
    provider = Provider(ours)
    ours.do(LinkLogin(provider.connection_id, "ada-1", idp.member("ada"), "relink"))
    idp.push(idp.off("ada"))
    ours.events()

    outcome = provider.sign_in("ada-1", "ada@example.org")

    assert (denied(outcome), outcome.member_id) == ("member_deactivated", idp.member("ada"))
    (body,) = ours.new_bodies()
    assert body["targets"][0]["id"] == idp.member("ada")
    idp.push(idp.delete("ada"))
    assert denied(provider.sign_in("ada-1", "ada@example.org")) == "member_deactivated"


def test_who_is_blocked_is_refused(ours: World) -> None:
    hq = ours.team("ada")
    ada = ours.member_of(hq, "ada")
    ours.do(SetBlock(ada, "lost laptop"))

    assert denied(Provider(ours).sign_in("ada-1", "ada@example.org")) == "member_blocked"


def test_a_deactivated_person_of_an_own_domain_is_not_made_by_a_login(ours: World) -> None:
    hq = ours.put_directory(settings={"paused": True}, default_role=MEMBER)
    ours.push(hq, put_user("ada", active=False))

    assert denied(Provider(ours, jit=True).sign_in("ada-1", "ada@example.org")) == "member_deactivated"


def test_who_waits_for_a_seat_is_not_signed_in(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=1, policy="waitlist")
    own_domain(world)
    hq = world.team("ada")

    outcome = Provider(world).sign_in("ada-1", "ada@example.org")

    assert (denied(outcome), outcome.member_id) == ("seat_limit_reached", world.member_of(hq, "ada"))


# Guests


def invite(world: World, mail: str = "gil@guest.example") -> InvitationId:
    invitation_id = InvitationId(world.new_id())
    world.do(Invite(invitation_id, mail, MEMBER, world.root, world.clock() + timedelta(days=7)))
    world.events()
    return invitation_id


def test_a_guest_comes_by_an_open_invitation(world: World) -> None:
    provider = Provider(world)
    invite(world)

    outcome = provider.sign_in("gil-1", "Gil@guest.example")

    assert (outcome.denial, outcome.by, outcome.seat) == (None, LoginBy.INVITATION, Seat.SEATED)
    assert outcome.roles == ((MEMBER, world.root),)
    assert world.events() == [
        "invitation.accepted",
        "member.created",
        "member.linked",
        "role.granted",
        "seat.assigned",
        "sso.login",
    ]
    assert provider.sign_in("gil-1").by is LoginBy.LINK
    world.check()


def test_an_invitation_that_has_ended_lets_nobody_in(world: World) -> None:
    invite(world)
    world.clock.move(days=7)

    assert denied(Provider(world).sign_in("gil-1", "gil@guest.example")) == "domain_not_verified"


# Made by the login


def test_a_login_makes_the_person_with_the_default_role(ours: World) -> None:
    provider = Provider(ours, jit=True, default_role="Member")

    outcome = provider.sign_in("ada-1", "ada@example.org", given_name="Ada", family_name="Byron")

    assert (outcome.by, outcome.roles, outcome.seat) == (LoginBy.JIT, ((MEMBER, ours.root),), Seat.SEATED)
    assert outcome.member_id is not None
    assert ours.record(outcome.member_id).display_name == "Ada Byron"
    assert ours.events() == [
        "user.created",
        "member.created",
        "member.linked",
        "role.granted",
        "seat.assigned",
        "sso.login",
    ]
    again = provider.sign_in("ada-1", "ada@example.org", given_name="Ada", family_name="Byron")
    assert (again.by, again.member_id) == (LoginBy.LINK, outcome.member_id)
    assert ours.events() == ["sso.login"]
    ours.check()


def test_without_a_default_role_the_person_holds_nothing(ours: World) -> None:
    outcome = Provider(ours, jit=True).sign_in("ada-1", "ada@example.org")

    assert (outcome.denial, outcome.roles, outcome.seat) == (None, (), Seat.NONE)


def test_a_full_organisation_makes_nobody(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=1)
    own_domain(world)
    provider = Provider(world, jit=True, default_role="Member")

    assert denied(provider.sign_in("ada-1", "ada@example.org")) == "seat_limit_reached"
    assert denied(provider.rehearse("ada-1", "ada@example.org")) == "seat_limit_reached"
    assert world.events() == ["seat.denied", "sso.login_denied"]
    assert world.members() == [world.owner]
    world.do(SetPlan("Enterprise", 2))
    assert provider.sign_in("ada-1", "ada@example.org").session is not None


def test_a_full_organisation_with_a_waiting_list_lets_the_person_wait(new_world: MakeWorld) -> None:
    world = new_world(plan="Enterprise", seat_limit=1, policy="waitlist")
    own_domain(world)
    provider = Provider(world, jit=True, default_role="Member")

    outcome = provider.sign_in("ada-1", "ada@example.org")

    assert denied(outcome) == "seat_limit_reached"
    assert world.waiting() == [outcome.member_id]
    assert world.events()[-1] == "sso.login_denied"
    world.do(SetPlan("Enterprise", 2))
    assert provider.sign_in("ada-1").session is not None
    world.check()


def test_nobody_is_made_while_a_directory_is_active(ours: World) -> None:
    provider = Provider(ours, jit=True)
    hq = ours.put_directory()
    assert denied(provider.sign_in("ada-1", "ada@example.org")) == "no_member"

    ours.do(PutDirectory(hq, "ldap", "hq", {"paused": True}))
    assert provider.sign_in("ada-1", "ada@example.org").by is LoginBy.JIT


def test_nobody_is_made_where_that_is_off(ours: World) -> None:
    assert denied(Provider(ours).sign_in("ada-1", "ada@example.org")) == "no_member"


def test_asserted_groups_give_roles_to_those_whom_logins_make(ours: World) -> None:
    provider = Provider(ours, jit=True)
    ada = provider.sign_in(
        "ada-1", "ada@example.org", groups=("staff", "cleaners", "staff", " ", "x" * 500)
    ).member_id
    assert ada is not None
    ours.put_rule(ours.group(provider.directory_id, "staff").group_id)
    assert ours.roles(ada) == [MEMBER]
    assert ours.in_group(provider.directory_id, "cleaners") == {"ada-1"}

    provider.sign_in("ada-1", "ada@example.org", groups_withheld=True)
    assert ours.roles(ada) == [MEMBER]
    provider.sign_in("ada-1", "ada@example.org", groups=("cleaners",))
    assert ours.roles(ada) == []
    provider.sign_in("bea-1", "bea@example.org", groups=("staff",))
    assert ours.in_group(provider.directory_id, "staff") == {"bea-1"}
    ours.check()


def test_asserted_groups_are_recorded_and_ignored_while_a_directory_is_active(ours: World) -> None:
    provider = Provider(ours, jit=True)
    ada = provider.sign_in("ada-1", "ada@example.org", groups=("staff",)).member_id
    assert ada is not None
    ours.put_rule(ours.group(provider.directory_id, "staff").group_id)
    ours.put_directory()
    ours.events()

    provider.sign_in("ada-1", "ada@example.org", groups=("admins",))

    assert ours.roles(ada) == [MEMBER]
    (login,) = ours.new_bodies()
    assert changed(login)["groups"] == ["admins"]


@on_sqlite_only
def test_groups_of_one_login_are_bounded(ours: World) -> None:
    provider = Provider(ours, jit=True)

    provider.sign_in(
        "ada-1", "ada@example.org", groups=tuple(f"g{number}" for number in range(MOST_GROUPS + 1))
    )

    assert ours.events().count("group.member_added") == MOST_GROUPS


def test_the_groups_of_a_directory_s_person_are_not_the_login_s_to_say(ours: World) -> None:
    hq = ours.team("ada")
    ours.do(PutDirectory(hq, "ldap", "hq", {"paused": True}))
    provider = Provider(ours, jit=True)

    outcome = provider.sign_in("ada-1", "ada@example.org", groups=("staff",))

    assert outcome.member_id == ours.member_of(hq, "ada")
    assert not ours.has_user(provider.directory_id, "ada-1")


def test_the_mail_follows_inside_own_domains_only(ours: World) -> None:
    ours.do(AddDomain("acme.example"))
    provider = Provider(ours, jit=True)
    ada = provider.sign_in("ada-1", "ada@example.org", display_name="Ada").member_id
    assert ada is not None

    followed = []
    for mail in ("ada@acme.example", "ada@else.example", "olga@example.org", "", "ad\u200ba@example.org"):
        provider.sign_in("ada-1", mail, display_name="Ada")
        followed.append(ours.record(ada).mail)

    assert followed == ["ada@acme.example"] * 5


def test_the_mail_of_somebody_without_a_directory_follows_too(ours: World) -> None:
    ours.do(AddDomain("acme.example"))
    provider = Provider(ours)
    invite(ours, "gil@example.org")
    gil = provider.sign_in("gil-1", "gil@example.org").member_id
    assert gil is not None
    ours.events()

    followed = []
    for mail in ("gil@acme.example", "gil@else.example", "olga@example.org", "GIL@acme.example"):
        provider.sign_in("gil-1", mail)
        followed.append(ours.record(gil).mail)

    assert followed == ["gil@acme.example"] * 3 + ["GIL@acme.example"]
    assert ours.events() == [
        "member.updated",
        "sso.login",
        "sso.login",
        "sso.login",
        "member.updated",
        "sso.login",
    ]
    assert ours.record(gil).display_name == "GIL@acme.example"


def test_the_mail_of_a_directory_s_person_is_the_directory_s_to_say(ours: World) -> None:
    hq = ours.team("ada")
    provider = Provider(ours)
    provider.sign_in("ada-1", "ada@example.org")

    provider.sign_in("ada-1", "ada.byron@example.org")

    assert ours.record(ours.member_of(hq, "ada")).mail == "ada@example.org"


def test_who_was_made_and_moved_away_is_not_made_a_second_time(ours: World) -> None:
    provider = Provider(ours, jit=True)
    ada = provider.sign_in("ada-1", "ada@example.org").member_id
    assert ada is not None
    ours.do(LinkLogin(provider.connection_id, "ada-2", ada, "relink"))

    assert denied(provider.sign_in("ada-1", "bea@example.org")) == "member_deactivated"
    assert provider.sign_in("ada-2", "ada@example.org").member_id == ada


def test_names_that_cannot_be_stored_are_left_out(ours: World) -> None:
    outcome = Provider(ours, jit=True).sign_in(
        "ada-1", "ada@example.org", given_name="a\0", display_name="d" * 500
    )

    assert outcome.member_id is not None
    assert ours.record(outcome.member_id).display_name == "ada@example.org"


# Test login


def test_a_rehearsal_tells_all_and_changes_nothing(ours: World) -> None:
    provider = Provider(ours, jit=True, default_role="Member", disabled=True)
    before = ours.snapshot()

    made = provider.rehearse("ada-1", "ada@example.org", groups=("staff",))
    known = provider.rehearse("olga-1", "olga@example.org")
    nobody = provider.rehearse("eve-1", "eve@else.example")

    assert (made.by, made.roles, made.seat) == (LoginBy.JIT, ((MEMBER, ours.root),), Seat.SEATED)
    assert (known.by, known.member_id, known.roles) == (LoginBy.MAIL, ours.owner, ((ADMIN, ours.root),))
    assert (nobody.denial, nobody.linked_by) == ("domain_not_verified", "")
    assert ours.snapshot() == before
    assert ours.events() == []


def test_a_session_that_is_none_lets_nobody_in(ours: World) -> None:
    provider = Provider(ours)
    person = Person("olga-1", "olga@example.org")
    over = provider.open(expires_at=ours.clock())

    outcome = sign_in(provider.connection_id, person, over, reference="R", **ours.tools)

    assert denied(outcome) == "no_member"
    assert ours.events() == ["command.refused", "sso.login_denied"]
    assert links(ours, ours.owner) == []
