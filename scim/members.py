"""What a PATCH does to the members of a group, step by step, and what the steps come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from directory.filters import Filter
from directory.schema import GROUP
from scim.errors import InvalidPathError
from scim.paths import compile_entry_filter, leaves

MEMBERS = GROUP.attributes["members"]


@dataclass(frozen=True, slots=True)
class AddIds:
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveIds:
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReplaceIds:
    """The members are these and no others."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClearAll:
    """Nobody is a member."""


@dataclass(frozen=True, slots=True)
class RemoveMatching:
    """Members that the filter matches are none; it names sub-attributes of `members`."""

    filter: Filter


MemberStep = AddIds | RemoveIds | ReplaceIds | ClearAll | RemoveMatching


@dataclass(frozen=True, slots=True)
class MemberChange:
    """The net effect of steps. Ids are in lower case, each once, and in one of the two tuples at most.

    `is_whole`: the members become exactly `added`. Else members that one of `matching` matches as the group stands,
    and those of `removed`, leave; then those of `added` are in.
    """

    is_whole: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    matching: tuple[Filter, ...] = ()


def fold_steps(steps: Sequence[MemberStep]) -> MemberChange:
    """Work out what steps come to when they are taken in order.

    Raises InvalidPathError when a filter on more than `value` would have to choose among ids that an earlier step of
    the same request put in: what they are is not known yet.
    """
    is_whole = False
    added: dict[str, None] = {}
    removed: dict[str, None] = {}
    matching: list[Filter] = []
    for step in steps:
        match step:
            case AddIds(ids):
                for member_id in _lowered(ids):
                    added[member_id] = None
                    removed.pop(member_id, None)
            case RemoveIds(ids):
                for member_id in _lowered(ids):
                    added.pop(member_id, None)
                    if not is_whole:
                        removed[member_id] = None
            case ReplaceIds(ids):
                is_whole, added, removed, matching = True, dict.fromkeys(_lowered(ids)), {}, []
            case ClearAll():
                is_whole, added, removed, matching = True, {}, {}, []
            case RemoveMatching(tree):
                added = _left_by(tree, added)
                if not is_whole:
                    matching.append(tree)
            case _:
                assert_never(step)
    return MemberChange(is_whole, tuple(added), tuple(removed), tuple(matching))


def _lowered(ids: tuple[str, ...]) -> list[str]:
    return [member_id.lower() for member_id in ids]


def _left_by(tree: Filter, added: dict[str, None]) -> dict[str, None]:
    if not added:
        return added
    if any(leaf.path.lower() != "value" for leaf in leaves(tree)):
        raise InvalidPathError(
            "a filter on members may name more than value only before members are added in the same request"
        )
    test = compile_entry_filter(tree, MEMBERS)
    return {member_id: None for member_id in added if not test({"value": member_id})}
