"""The signing keys: made at first use, two at a time, changed without a token that fails."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from api.keys import RETIRED_FOR, SigningKeys
from provisioning.clients import SigningKey
from service.clients import signing_keys
from tests.api.scene import Scene


@pytest.fixture
def keys(scene: Scene) -> SigningKeys:
    return signing_keys(scene.wiring)


def ids(keys: SigningKeys) -> list[str]:
    return [key["kid"] for key in keys.public()["keys"]]


def signer(keys: SigningKeys) -> str:
    token = keys.sign({"a": 1})
    found: str = jwt.decode(token, KeySet.import_key_set(keys.public())).header["kid"]  # type: ignore[arg-type]
    return found


def test_the_first_two_keys_are_made_when_they_are_asked_for(scene: Scene) -> None:
    noted: list[SigningKey] = []

    class Empty:
        """The part of a client store that holds keys."""

        def __init__(self) -> None:
            self.stored: dict[str, SigningKey] = {}

        def signing_keys(self, _now: object) -> list[SigningKey]:
            return sorted(self.stored.values(), key=lambda key: key.state)

        def put_signing_key(self, key: SigningKey) -> None:
            self.stored[key.key_id] = key

    store = Empty()
    made = SigningKeys(store, clock=scene.clock, mint=scene.wiring.mint, note=noted.append)  # type: ignore[arg-type]

    assert not made.rotate_when_older(timedelta(0))
    assert store.stored == {}
    assert len(ids(made)) == 2
    assert ids(made) == ids(made)
    assert [key.state for key in store.stored.values()] == ["active", "next"]
    assert [key.key_id for key in noted] == ids(made)[:1]


def test_who_finds_keys_that_were_made_meanwhile_makes_none(scene: Scene, keys: SigningKeys) -> None:
    class Late:
        """A store that is empty when it is first asked."""

        def __init__(self) -> None:
            self.answers: list[list[SigningKey]] = [[]]

        def signing_keys(self, now: datetime) -> list[SigningKey]:
            return self.answers.pop() if self.answers else scene.wiring.clients.signing_keys(now)

    late = SigningKeys(
        Late(),  # type: ignore[arg-type]  # the part that is asked
        clock=scene.clock,
        mint=scene.wiring.mint,
        note=lambda _: None,
    )

    assert ids(late) == ids(keys)


def test_the_next_key_was_published_before_it_signs(keys: SigningKeys) -> None:
    active, coming = ids(keys)
    assert signer(keys) == active
    token = keys.sign({"a": 1})

    keys.rotate()

    assert signer(keys) == coming
    assert set(ids(keys)) > {active, coming}
    assert len(ids(keys)) == 3
    assert keys.verify(token) == {"a": 1}


def test_a_key_that_has_signed_is_published_until_nothing_of_it_is_good(
    scene: Scene, keys: SigningKeys
) -> None:
    active, _ = ids(keys)
    token = keys.sign({"a": 1})
    keys.rotate()
    keys.rotate()
    assert active in ids(keys)

    scene.clock.advance(seconds=RETIRED_FOR.total_seconds())

    assert active not in ids(keys)
    assert len(ids(keys)) == 2
    assert keys.verify(token) is None


def test_compromised_keys_are_good_for_nothing_at_once(keys: SigningKeys) -> None:
    keys.rotate()
    token, before = keys.sign({"a": 1}), ids(keys)

    keys.rotate(is_compromised=True)

    assert not set(ids(keys)) & set(before)
    assert len(ids(keys)) == 2
    assert keys.verify(token) is None
    assert keys.verify(keys.sign({"a": 1})) == {"a": 1}


def test_keys_change_when_they_are_old_and_not_before(scene: Scene, keys: SigningKeys) -> None:
    _, coming = ids(keys)

    assert not keys.rotate_when_older(timedelta(days=90))
    scene.clock.advance(days=90)
    assert keys.rotate_when_older(timedelta(days=90))

    assert signer(keys) == coming
    assert not keys.rotate_when_older(timedelta(days=90))


def test_who_lost_the_next_key_gets_another(scene: Scene, keys: SigningKeys) -> None:
    store = scene.wiring.clients
    (_, coming) = store.signing_keys(scene.clock())
    store.put_signing_key(replace(coming, state="retired"))

    assert keys.rotate_when_older(timedelta(days=90))

    assert signer(keys) != coming.key_id
    assert coming.key_id in ids(keys)


@pytest.mark.parametrize(
    "token",
    ["", "a.b.c", "ä", "\ud800", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "....."],
)
def test_what_we_have_not_signed_is_nothing(keys: SigningKeys, token: str) -> None:
    assert keys.verify(token) is None


def test_a_secret_of_the_public_key_signs_nothing(keys: SigningKeys) -> None:
    """Algorithm confusion: an HMAC whose secret is what everybody knows."""
    public = keys.public()["keys"][0]
    forged = jwt.encode({"alg": "HS256", "kid": public["kid"]}, {"a": 1}, OctKey.import_key(public["n"]))

    assert keys.verify(forged) is None


def test_the_private_halves_are_in_no_text(scene: Scene, keys: SigningKeys) -> None:
    for key in scene.wiring.clients.signing_keys(scene.clock()):
        assert key.private_jwk not in repr(key)
    assert '"d"' not in str(keys.public())
