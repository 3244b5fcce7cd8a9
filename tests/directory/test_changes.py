"""`Change` is closed: every statement in its modules is in it, and none twice."""

import dataclasses
import inspect
from typing import get_args, get_type_hints

import pytest

from directory import audit_token_changes, changes, sso_changes, stream_changes
from directory.changes import (
    AdministratorChange,
    AttributeMatch,
    Change,
    DirectoryChange,
    GroupMatch,
    Match,
    NameMatch,
)

CHANGES: tuple[type, ...] = get_args(Change)


def test_every_statement_of_the_modules_is_a_change_or_a_match() -> None:
    defined = {
        value
        for module in (audit_token_changes, changes, sso_changes, stream_changes)
        for _, value in inspect.getmembers(module, inspect.isclass)
        if value.__module__ == module.__name__ and dataclasses.is_dataclass(value)
    }

    assert defined == set(CHANGES) | set(get_args(Match))


def test_a_change_is_a_directory_s_or_an_administrator_s_and_never_both() -> None:
    said_by_directory = set(get_args(DirectoryChange))
    said_by_administrator = set(get_args(AdministratorChange))

    assert not said_by_directory & said_by_administrator
    assert said_by_directory | said_by_administrator == set(CHANGES)


def test_match_has_its_three_kinds() -> None:
    assert set(get_args(Match)) == {GroupMatch, NameMatch, AttributeMatch}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_frozen_and_slotted(change: type) -> None:
    assert change.__dataclass_params__.frozen  # type: ignore[attr-defined]  # Set by the decorator on the class.
    assert not hasattr(change, "__dict__") or "__slots__" in vars(change)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_holds_no_list_and_no_dict(change: type) -> None:
    for hint in get_type_hints(change).values():
        assert getattr(hint, "__origin__", hint) not in {list, dict, set}
