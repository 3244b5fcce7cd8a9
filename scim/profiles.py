"""Identity providers' ways that the standard does not have, each a named leniency with its source.

A profile is a setting of the directory and never guessed from a `User-Agent`. The code asks `profile.allows(...)`
where it would otherwise refuse, and notes what it let through for the request log.
"""

from dataclasses import dataclass
from enum import StrEnum


class Leniency(StrEnum):
    """What a profile may allow beyond the standard. The value is the slug in the request log."""

    REMOVE_BY_VALUE = "remove_by_value"
    CREATE_UNMATCHED_ENTRY = "create_unmatched_entry"
    IGNORE_UNKNOWN = "ignore_unknown"
    MANAGER_AS_TEXT = "manager_as_text"
    KEEP_UNSAID_MEMBERS = "keep_unsaid_members"
    RESTORE_INACTIVE = "restore_inactive"
    # Every profile reads these; they are noted all the same.
    OPERATION_CASE = "operation_case"
    TEXT_BOOLEAN = "text_boolean"
    DOTTED_KEYS = "dotted_keys"
    NULL_IS_ABSENT = "null_is_absent"
    MANAGER_WITHOUT_REFERENCE = "manager_without_reference"


@dataclass(frozen=True, slots=True)
class Profile:
    """`unique_group_names`: a second group of the same displayName is refused (Entra needs it so)."""

    name: str
    leniencies: frozenset[Leniency]
    unique_group_names: bool = False

    def allows(self, leniency: Leniency) -> bool:
        return leniency in self.leniencies


_EVERYWHERE = frozenset(
    {
        Leniency.OPERATION_CASE,
        Leniency.TEXT_BOOLEAN,
        Leniency.DOTTED_KEYS,
        Leniency.NULL_IS_ABSENT,
        Leniency.MANAGER_WITHOUT_REFERENCE,
    }
)
_WIDEST = frozenset(Leniency)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("generic", _WIDEST),
        Profile("entra", _WIDEST, unique_group_names=True),
        Profile("okta", _WIDEST - {Leniency.CREATE_UNMATCHED_ENTRY}),
        Profile("strict", _EVERYWHERE),
    )
}
"""By the name that the directory's setting `profile` holds; `generic` where it holds none."""
