"""Secrets at rest: bound to their place, and to a ring of keys that can be rotated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import KeyRingError, SealError
from storage.secrets import (
    KeyRing,
    bind_place,
    load_key_ring,
    make_key_ring_text,
    open_with_own_key,
    seal_with_own_key,
    sealing_key,
)

OLD, NEW = b"1" * 32, b"2" * 32
PLACE = bind_place("org", "directory/hq", "secret")


@given(st.binary(max_size=2000), st.binary(max_size=50))
def test_what_was_sealed_opens_in_its_place(secret: bytes, place: bytes) -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    assert ring.open(ring.seal(secret, place), place) == secret


def test_a_value_is_sealed_differently_each_time() -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    assert ring.seal(b"secret", PLACE) != ring.seal(b"secret", PLACE)
    assert b"secret" not in ring.seal(b"secret", PLACE)


@pytest.mark.parametrize(
    "place",
    [
        bind_place("other", "directory/hq", "secret"),
        bind_place("org", "directory/branch", "secret"),
        bind_place("org", "directory/hq", "token"),
    ],
)
def test_a_sealed_value_opens_in_no_other_place(place: bytes) -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    with pytest.raises(SealError, match="changed or moved"):
        ring.open(ring.seal(b"secret", PLACE), place)


def test_a_changed_value_does_not_open() -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    sealed = ring.seal(b"secret", PLACE)
    for position in range(4, len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(SealError):
            ring.open(bytes(changed), PLACE)


@pytest.mark.parametrize("sealed", [b"", b"\x00", b"\x02k1", b"\xff", b"\x02k1" + b"0" * 12])
def test_a_cut_value_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealError):
        KeyRing({"k1": OLD}, "k1").open(sealed, PLACE)


def test_rotation_seals_by_the_new_key_and_opens_by_both() -> None:
    before = KeyRing({"k1": OLD}, "k1").seal(b"secret", PLACE)
    ring = KeyRing({"k2": NEW, "k1": OLD}, "k2")
    after = ring.seal(b"secret", PLACE)

    assert ring.open(before, PLACE) == ring.open(after, PLACE) == b"secret"
    assert ring.is_current(after)
    assert not ring.is_current(before)
    with pytest.raises(SealError, match="needs key 'k1'"):
        KeyRing({"k2": NEW}, "k2").open(before, PLACE)


def test_a_value_under_its_own_key_dies_with_that_key() -> None:
    ring = KeyRing({"k1": OLD}, "k1")
    key_place, place = bind_place("org", "audit_pii/1", "key"), bind_place("org", "audit_pii/1", "ciphertext")
    key, ciphertext = seal_with_own_key(ring, b"Zo\xc3\xab", key_place=key_place, place=place)
    other_key, _ = seal_with_own_key(ring, b"", key_place=key_place, place=place)

    assert open_with_own_key(ring, key, ciphertext, key_place=key_place, place=place) == b"Zo\xc3\xab"
    for wrong_key, wrong_text, wrong_place in (
        (other_key, ciphertext, place),
        (key, ciphertext, key_place),
        (key, ciphertext[:5], place),
    ):
        with pytest.raises(SealError):
            open_with_own_key(ring, wrong_key, wrong_text, key_place=key_place, place=wrong_place)


@pytest.mark.parametrize(
    ("keys", "current", "words"),
    [
        ({}, "k1", "'k1' is not on the key ring"),
        ({"k1": b"short"}, "k1", "'k1' has 5 bytes"),
        ({"k" * 33: OLD}, "k" * 33, "1 to 32 bytes"),
        ({"": OLD}, "", "1 to 32 bytes"),
    ],
)
def test_a_ring_that_cannot_work_is_refused(keys: dict[str, bytes], current: str, words: str) -> None:
    with pytest.raises(KeyRingError, match=words):
        KeyRing(keys, current)


def test_a_ring_shows_no_key() -> None:
    assert repr(KeyRing({"k1": OLD, "k2": NEW}, "k1")) == "KeyRing(2 keys)"


def test_a_ring_is_read_with_the_current_key_first() -> None:
    old, new = make_key_ring_text("k1"), make_key_ring_text("k2")
    sealed = load_key_ring(old).seal(b"secret", PLACE)
    ring = load_key_ring(f"# rotated\n\n  {new}{old}")

    assert ring.open(sealed, PLACE) == b"secret"
    assert not ring.is_current(sealed)
    assert ring.is_current(load_key_ring(new).seal(b"", PLACE))


def test_faults_of_a_ring_are_told_together_without_its_keys() -> None:
    good = make_key_ring_text("k1")
    with pytest.raises(KeyRingError) as refused:
        load_key_ring(f"{good}no-colon-here\nk1:AAAA\nk2:***secret***\n")
    assert str(refused.value) == (
        "the key ring cannot be used: line 2 is not 'id:key'; line 3 repeats the key id 'k1'; "
        "line 4: the key 'k2' is not base64"
    )


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_ring_is_refused(text: str) -> None:
    with pytest.raises(KeyRingError, match="it holds no key"):
        load_key_ring(text)


# Following a ring that changes.


def followed(*later: KeyRing | None) -> KeyRing:
    """A ring of the old key, told of these in their order, and of no further change."""
    rings = iter(later)
    return KeyRing({"k1": OLD}, "k1", changed=lambda: next(rings, None))


def test_a_ring_follows_a_rotation_before_it_seals() -> None:
    ring = followed(None, KeyRing({"k2": NEW, "k1": OLD}, "k2"))
    before, after = ring.seal(b"secret", PLACE), ring.seal(b"secret", PLACE)

    assert (sealing_key(before), sealing_key(after)) == ("k1", "k2")
    assert (ring.is_current(before), ring.is_current(after)) == (False, True)
    assert ring.current_id == "k2"
    assert ring.key_ids == {"k1", "k2"}


def test_a_ring_looks_for_the_key_that_a_value_needs() -> None:
    rotated = KeyRing({"k2": NEW}, "k2")
    sealed = rotated.seal(b"secret", PLACE)

    assert followed(rotated).open(sealed, PLACE) == b"secret"
    with pytest.raises(SealError, match="needs key 'k2'"):
        followed(None).open(sealed, PLACE)


def test_a_key_that_was_dropped_opens_until_the_process_ends() -> None:
    ring = followed(None, KeyRing({"k2": NEW}, "k2"))
    before = ring.seal(b"secret", PLACE)
    ring.seal(b"other", PLACE)

    assert ring.open(before, PLACE) == b"secret"


def test_nothing_sealed_names_no_key() -> None:
    assert sealing_key(b"") == ""
