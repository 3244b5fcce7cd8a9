"""Profiles: which leniency each has, and that each is explained."""

import pytest

from scim.profiles import EXPLANATIONS, PROFILES, Leniency

EVERYWHERE = {
    Leniency.OPERATION_CASE,
    Leniency.TEXT_BOOLEAN,
    Leniency.DOTTED_KEYS,
    Leniency.NULL_IS_ABSENT,
    Leniency.MANAGER_WITHOUT_REFERENCE,
}


def test_generic_and_entra_have_every_leniency() -> None:
    assert PROFILES["generic"].leniencies == PROFILES["entra"].leniencies == set(Leniency)


def test_okta_creates_no_entry_that_a_filter_did_not_find() -> None:
    assert PROFILES["okta"].leniencies == set(Leniency) - {Leniency.CREATE_UNMATCHED_ENTRY}


def test_strict_has_only_what_every_profile_reads() -> None:
    assert PROFILES["strict"].leniencies == EVERYWHERE
    assert all(profile.leniencies >= EVERYWHERE for profile in PROFILES.values())


def test_entra_alone_takes_each_name_of_a_group_once() -> None:
    assert [profile.name for profile in PROFILES.values() if profile.unique_group_names] == ["entra"]


@pytest.mark.parametrize("leniency", Leniency)
def test_every_leniency_is_explained_with_a_source(leniency: Leniency) -> None:
    explanation = EXPLANATIONS[leniency]
    assert explanation.text.endswith(".")
    assert explanation.source
