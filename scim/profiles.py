"""Identity providers' ways that the standard does not have, each a named leniency with its source.

A profile is a setting of the directory and never guessed from a `User-Agent`. The code asks `profile.allows(...)`
where it would otherwise refuse, and notes what it let through for the request log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Leniency(StrEnum):
    """What a profile may allow beyond the standard. The value is the slug in the request log."""

    REMOVE_BY_VALUE = "remove_by_value"
    CREATE_UNMATCHED_ENTRY = "create_unmatched_entry"
    IGNORE_UNKNOWN = "ignore_unknown"
    MANAGER_AS_TEXT = "manager_as_text"
    ENTRY_SHAPE = "entry_shape"
    SEVERAL_PRIMARIES = "several_primaries"
    UNSAID_SCHEMAS = "unsaid_schemas"
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
    """`unique_group_names`: a second group of the same displayName is refused (Entra needs it so).

    `shows_ours`: our extension and the names of members, which no client can say, are shown unasked.
    """

    name: str
    leniencies: frozenset[Leniency]
    unique_group_names: bool = False
    shows_ours: bool = True

    def allows(self, leniency: Leniency) -> bool:
        return leniency in self.leniencies


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a leniency lets through, for an administrator to read, and who needs it."""

    text: str
    source: str


_ENTRA = "Microsoft Entra, Develop and plan provisioning for a SCIM endpoint"
_ENTRA_FLAG = "Microsoft Entra, Known issues with SCIM 2.0 protocol compliance"

EXPLANATIONS: Mapping[Leniency, Explanation] = MappingProxyType(
    {
        Leniency.REMOVE_BY_VALUE: Explanation(
            "A `remove` of a whole attribute that names values removed those values only.", _ENTRA_FLAG
        ),
        Leniency.CREATE_UNMATCHED_ENTRY: Explanation(
            "A path whose filter matched no entry created the entry that it describes.", _ENTRA
        ),
        Leniency.IGNORE_UNKNOWN: Explanation(
            "Attributes or schemas that this service does not know were left out.",
            f"{_ENTRA}: schemas of its own in the `schemas` of a group",
        ),
        Leniency.MANAGER_AS_TEXT: Explanation(
            "The manager was given as a text and taken as the manager's id.", _ENTRA
        ),
        Leniency.ENTRY_SHAPE: Explanation(
            "A value stood in a list where none belongs, or without one, or as a text in place of an object.",
            f"{_ENTRA}: a manager in a list",
        ),
        Leniency.SEVERAL_PRIMARIES: Explanation(
            "Several entries of one attribute were primary; the first of them is.",
            "RFC 7643 section 2.4, which allows one",
        ),
        Leniency.UNSAID_SCHEMAS: Explanation(
            "The body did not name its schema in `schemas`.", "RFC 7643 section 3, which demands it"
        ),
        Leniency.KEEP_UNSAID_MEMBERS: Explanation(
            "A PUT of a group without `members` kept the members.",
            "a removal is said and never follows from leaving something out",
        ),
        Leniency.RESTORE_INACTIVE: Explanation(
            "A new user with the userName and externalId of an inactive one brought that one back.",
            "Okta, SCIM FAQs: users are deactivated, never deleted, and later created again",
        ),
        Leniency.OPERATION_CASE: Explanation("The `op` of an operation was not in lower case.", _ENTRA_FLAG),
        Leniency.TEXT_BOOLEAN: Explanation('A boolean was given as the text "True" or "False".', _ENTRA_FLAG),
        Leniency.DOTTED_KEYS: Explanation(
            "A key of an object was a path: `name.givenName`, or an attribute with its URN.", _ENTRA_FLAG
        ),
        Leniency.NULL_IS_ABSENT: Explanation(
            "A value of null was taken as a value that is not there.", "RFC 7643 section 2.5"
        ),
        Leniency.MANAGER_WITHOUT_REFERENCE: Explanation("The manager was given without a `$ref`.", _ENTRA),
    }
)
"""One for each leniency; a test holds them together."""

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

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("generic", _WIDEST),
            Profile("entra", _WIDEST, unique_group_names=True),
            Profile("okta", _WIDEST - {Leniency.CREATE_UNMATCHED_ENTRY}),
            Profile("strict", _EVERYWHERE, shows_ours=False),
        )
    }
)
"""By the name that the directory's setting `profile` holds; `generic` where it holds none."""
