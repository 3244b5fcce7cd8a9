"""Who has signed in, as applications are told."""

from dataclasses import replace

from api.people import People, Person, person_claims
from directory.changes import SetBlock
from tests.api.scene import Scene


def find(scene: Scene, name: str = "anna", *, is_live: bool = True) -> Person | None:
    """The person of the newest session, which is taken for live or not."""
    wiring, member_id = scene.wiring, scene.member(name)
    people = People(wiring.unit_of_work, wiring.logins, wiring.models, lambda _session, _now: is_live)
    sid = scene.claims(scene.tokens(scene.sign_in(name))["id_token"])["sid"]
    if name == "ben":
        scene.administration.apply([SetBlock(member_id, "left")])
    return people.find(scene.administration.organisation_id, member_id, sid, scene.clock())


def test_only_a_live_session_has_a_person(scene: Scene) -> None:
    assert find(scene) is not None
    assert find(scene, is_live=False) is None


def test_who_is_not_active_is_nobody_whatever_the_session_says(scene: Scene) -> None:
    assert find(scene, "ben") is None


def test_a_person_without_an_address_has_no_word_of_one(scene: Scene) -> None:
    person = find(scene)
    assert person is not None

    claims = person_claims(replace(person, mail=""), is_whole=True)

    assert "email" not in claims
    assert "email_verified" not in claims


def test_an_address_outside_the_verified_domains_is_not_verified(scene: Scene) -> None:
    person = find(scene)
    assert person is not None

    claims = person_claims(replace(person, is_mail_verified=False), is_whole=True)

    assert claims["email_verified"] is False
