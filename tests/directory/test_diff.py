"""A pass over a source against what is stored: every entry is one of four, and what is left is absent."""

from hypothesis import given
from hypothesis import strategies as st

from directory.diff import FingerprintDiff, Seen, diff_members
from directory.ids import ExternalId

ids = st.binary(max_size=20)
external_ids = st.text(max_size=4).map(ExternalId)


def test_classify_tells_the_four_cases_apart() -> None:
    diff = FingerprintDiff({b"a": b"1", b"b": b"1", b"c": b"1"})

    seen = [diff.classify(*entry) for entry in [(b"a", b"1"), (b"b", b"2"), (b"new", b"1"), (b"a", b"1")]]

    assert seen == [Seen.UNCHANGED, Seen.CHANGED, Seen.NEW, Seen.DUPLICATE]
    assert list(diff.absent()) == [b"c"]


def test_classify_tells_a_new_entry_shown_twice() -> None:
    diff = FingerprintDiff({})

    assert [diff.classify(b"a", b"1"), diff.classify(b"a", b"2")] == [Seen.NEW, Seen.DUPLICATE]


def test_classify_takes_an_empty_fingerprint_for_a_change() -> None:
    diff = FingerprintDiff({b"a": b""})

    assert diff.classify(b"a", b"") is Seen.CHANGED


@given(stored=st.dictionaries(ids, ids), shown=st.lists(st.tuples(ids, ids)))
def test_classify_agrees_with_sets(stored: dict[bytes, bytes], shown: list[tuple[bytes, bytes]]) -> None:
    diff = FingerprintDiff(dict(stored))

    seen = [(entry_id, diff.classify(entry_id, fingerprint)) for entry_id, fingerprint in shown]

    assert set(diff.absent()) == stored.keys() - dict(shown).keys()
    assert {entry_id for entry_id, what in seen if what is Seen.NEW} == dict(shown).keys() - stored.keys()
    assert sum(what is not Seen.DUPLICATE for _, what in seen) == len(dict(shown))


@given(stored=st.sets(external_ids), said=st.sets(external_ids))
def test_diff_members_leads_from_stored_to_said(stored: set[ExternalId], said: set[ExternalId]) -> None:
    added, removed = diff_members(stored, said)

    assert (stored | set(added)) - set(removed) == said
    assert list(added) == sorted(added)
    assert list(removed) == sorted(removed)
    assert diff_members(said, said) == ((), ())
