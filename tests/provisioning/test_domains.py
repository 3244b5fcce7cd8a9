"""Mail domains: one organisation each, a warning before anything is lost, and nothing deleted."""

import pytest

from directory.changes import AddDomain
from directory.sso_changes import (
    ClaimDomain,
    EnforceLogin,
    NoteDomainMissing,
    RecordTest,
    ReleaseDomain,
    VerifyDomain,
)
from provisioning.domains import MOST_DOMAINS
from provisioning.errors import RefusalCode
from provisioning.logins import Enforcement, StoredDomain
from tests.builders import MONDAY, MakeWorld, World, on_sqlite_only
from tests.provisioning.signing import Provider, changed

CHALLENGE = "usher-domain=0123456789abcdef"


def claims(world: World) -> dict[str, StoredDomain]:
    with world.read() as reader:
        return {one.domain: one for one in reader.sso.domain_claims()}


def verified(world: World) -> frozenset[str]:
    with world.read() as reader:
        return reader.domains()


def enforcement(world: World) -> Enforcement | None:
    with world.read() as reader:
        return reader.sso.enforcement()


def claim(domain: str = "acme.example", challenge: str = CHALLENGE) -> ClaimDomain:
    return ClaimDomain(domain, challenge)


def test_a_claimed_domain_is_verified_when_its_proof_was_found(world: World) -> None:
    world.do(claim(" ACME.example "))
    world.do(claim())
    assert (claims(world)["acme.example"].state, verified(world)) == ("pending", frozenset())

    world.do(VerifyDomain("acme.example"))
    world.clock.move(hours=1)
    world.do(VerifyDomain("ACME.example"), claim(challenge=CHALLENGE + "2"))

    assert verified(world) == {"acme.example"}
    stored = claims(world)["acme.example"]
    assert (stored.verified_at, stored.checked_at, stored.challenge) == (MONDAY, world.clock(), CHALLENGE)
    claimed, proven = world.new_bodies()
    assert (claimed["action"], proven["action"]) == ("domain.claimed", "domain.verified")
    assert changed(proven) == {"domain": "acme.example", "state": "verified"}


def test_a_claim_gets_another_challenge(world: World) -> None:
    world.do(claim(), claim(challenge=CHALLENGE + "2"))

    assert claims(world)["acme.example"].challenge == CHALLENGE + "2"
    assert world.events() == ["domain.claimed", "domain.claimed"]


def test_a_domain_is_one_organisation_s(world: World, new_world: MakeWorld) -> None:
    other = new_world()
    world.do(claim(), VerifyDomain("acme.example"))
    other.do(claim())

    for change in (VerifyDomain("acme.example"), AddDomain("acme.example")):
        refused = other.refuse(change)
        assert refused.code is RefusalCode.DOMAIN_TAKEN
        assert world.state.name not in refused.message
    assert (claims(other)["acme.example"].state, verified(other)) == ("pending", frozenset())
    world.do(ReleaseDomain("acme.example"))
    other.do(VerifyDomain("acme.example"))


def test_a_missing_proof_warns_and_suspends_after_the_grace(world: World) -> None:
    world.do(claim(), VerifyDomain("acme.example"))
    world.events()

    told = []
    for hours in (0, 1, 71, 1):
        world.clock.move(hours=hours)
        world.do(NoteDomainMissing("acme.example"))
        told.append((world.events(), verified(world)))

    mine = frozenset({"acme.example"})
    assert told == [
        (["domain.missing"], mine),
        ([], mine),
        (["domain.suspended"], frozenset()),
        ([], frozenset()),
    ]
    world.do(VerifyDomain("acme.example"))
    assert (world.events(), verified(world)) == (["domain.verified"], mine)


def test_a_proof_that_is_found_in_time_ends_the_warning(world: World) -> None:
    world.do(claim(), VerifyDomain("acme.example"), NoteDomainMissing("acme.example"))
    world.clock.move(hours=71)

    world.do(VerifyDomain("acme.example"))
    world.clock.move(hours=2)
    world.do(NoteDomainMissing("acme.example"))

    assert claims(world)["acme.example"].state == "missing"


def test_a_suspended_domain_is_still_nobody_else_s(world: World, new_world: MakeWorld) -> None:
    world.do(claim(), VerifyDomain("acme.example"), NoteDomainMissing("acme.example"))
    world.clock.move(hours=72)
    world.do(NoteDomainMissing("acme.example"))
    other = new_world()
    other.do(claim())

    assert other.refuse(VerifyDomain("acme.example")).code is RefusalCode.DOMAIN_TAKEN


def test_a_claim_whose_proof_is_not_there_yet_is_no_event(world: World) -> None:
    world.do(claim())
    world.events()

    world.do(NoteDomainMissing("acme.example"))

    assert world.events() == []
    assert claims(world)["acme.example"].checked_at == MONDAY


def test_what_the_operator_vouched_for_is_never_missing(world: World) -> None:
    world.do(claim(), AddDomain("acme.example"), AddDomain("acme.example"))

    world.do(NoteDomainMissing("acme.example"))

    assert verified(world) == {"acme.example"}
    assert world.events() == ["domain.claimed", "domain.verified"]


@pytest.mark.parametrize("is_released", [False, True])
def test_enforcement_rests_without_a_domain_and_resumes_with_one(world: World, is_released: bool) -> None:
    provider = Provider(world)
    world.do(claim(), VerifyDomain("acme.example"))
    world.do(RecordTest(provider.connection_id, "t-1", has_passed=True, version=1))
    world.do(EnforceLogin(provider.connection_id))
    world.events()

    if is_released:
        world.do(ReleaseDomain("acme.example"))
    else:
        world.do(NoteDomainMissing("acme.example"))
        world.clock.move(hours=72)
        world.do(NoteDomainMissing("acme.example"))
        assert world.events()[:-2] == ["domain.missing"]

    resting = enforcement(world)
    assert resting is not None
    assert resting.suspended_reason == "domain_missing"
    world.do(claim(), VerifyDomain("acme.example"))
    bodies = world.new_bodies()
    assert bodies[-1]["action"] == "connection.enforcement_resumed"
    assert world.chain(bodies[-1]) == ["connection.enforcement_resumed", "domain.verified"]
    holding = enforcement(world)
    assert holding is not None
    assert holding.suspended_at is None


def test_enforcement_goes_on_while_another_domain_is_verified(world: World) -> None:
    provider = Provider(world)
    world.do(AddDomain("other.example"), claim(), VerifyDomain("acme.example"))
    world.do(RecordTest(provider.connection_id, "t-1", has_passed=True, version=1))
    world.do(EnforceLogin(provider.connection_id))

    world.do(ReleaseDomain("acme.example"))

    holding = enforcement(world)
    assert holding is not None
    assert holding.suspended_at is None


def test_a_domain_is_released_once(world: World) -> None:
    world.do(claim())

    world.do(ReleaseDomain("acme.example"))
    world.do(ReleaseDomain("acme.example"))

    assert (claims(world), world.events()) == ({}, ["domain.claimed", "domain.released"])


@on_sqlite_only
@pytest.mark.parametrize(
    "domain",
    [
        "",
        "acme",
        "a@acme.example",
        "acme .example",
        "-acme.example",
        "acme..example",
        "acme.example.",
        "münchen.example",
        "x" * 64 + ".example",
        "a." * 127 + "example",
    ],
)
def test_what_is_no_mail_domain_is_refused(world: World, domain: str) -> None:
    assert world.refuse(claim(domain)).code is RefusalCode.INVALID


@on_sqlite_only
@pytest.mark.parametrize("challenge", ["", "short", "x" * 201, "with a space inside"])
def test_what_is_no_challenge_is_refused(world: World, challenge: str) -> None:
    assert world.refuse(claim(challenge=challenge)).code is RefusalCode.INVALID


@on_sqlite_only
def test_a_domain_that_was_not_claimed_is_told(world: World) -> None:
    for change in (VerifyDomain("acme.example"), NoteDomainMissing("acme.example")):
        assert world.refuse(change).message == (
            "the organisation has not claimed the domain 'acme.example'; claim it first"
        )


@on_sqlite_only
def test_claims_are_bounded(world: World) -> None:
    world.do(*(claim(f"d{number}.example") for number in range(MOST_DOMAINS)))

    assert "has 200 domains" in world.refuse(claim()).message
