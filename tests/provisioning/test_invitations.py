"""One person is invited once at a time: every open invitation holds a seat."""

from datetime import timedelta

from directory.changes import EndInvitation, Invite
from directory.ids import InvitationId
from tests.builders import MEMBER, World


def invite(world: World, mail: str) -> Invite:
    ends_at = world.clock.now + timedelta(days=7)
    return Invite(InvitationId(world.new_id()), mail, MEMBER, world.root, ends_at)


def test_who_is_invited_is_not_invited_again(world: World) -> None:
    world.do(invite(world, "zoë@example.org"))

    refused = world.refuse(invite(world, "ZOË@example.org"))

    assert "is invited already" in refused.message
    assert world.state.reserved == 1


def test_who_was_invited_may_be_invited_again_behind_it(world: World) -> None:
    first = invite(world, "zoe@example.org")
    world.do(first)
    world.do(EndInvitation(first.invitation_id))

    world.do(invite(world, "zoe@example.org"), invite(world, "ann@example.org"))

    assert world.state.reserved == 2
