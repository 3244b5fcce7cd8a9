"""Whether a user may act, from the attributes in which servers say so.

A rule reads one value. What it cannot read is `UNKNOWN`, never active: the caller keeps what it knew.
"""

import re
from collections.abc import Callable
from typing import Final

from directory.facts import Activity
from sync.dialects.dialect import Moment
from sync.entries import Attributes

Rule = Callable[[bytes, Moment], Activity]

_PERMANENT_LOCK: Final = b"000001010000Z"
_GENERALIZED_TIME: Final = re.compile(
    rb"[0-9]{10}(?:[0-9]{2}){0,2}(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}(?:[0-9]{2})?)"
)
_INTEGER: Final = re.compile(rb"-?[0-9]{1,19}")
_ACCOUNT_DISABLED: Final = 0x2
_NEVER: Final = frozenset({0, 0x7FFF_FFFF_FFFF_FFFF})


def decide(rules: dict[str, Rule], attributes: Attributes, moment: Moment) -> Activity:
    """Disabled if any rule says so, else unknown if any value was unreadable, else active."""
    decided = Activity.ACTIVE
    for name, rule in rules.items():
        for value in attributes.get(name, ()):
            said = rule(value, moment)
            if said is Activity.DISABLED:
                return said
            if said is Activity.UNKNOWN:
                decided = said
    return decided


def account_control(value: bytes, moment: Moment) -> Activity:  # noqa: ARG001 - a rule takes the time
    """userAccountControl: bit 2 disables; the lockout bit passes by itself. Source: [MS-ADTS] section 2.2.16."""
    flags = read_integer(value)
    if flags is None:
        return Activity.UNKNOWN
    return Activity.DISABLED if flags & _ACCOUNT_DISABLED else Activity.ACTIVE


def account_expires(value: bytes, moment: Moment) -> Activity:
    """accountExpires: 0 and the largest number are never. Source: [MS-ADA1] section 2.1."""
    end = read_integer(value)
    if end is None or end < 0:
        return Activity.UNKNOWN
    return Activity.ACTIVE if end in _NEVER or end > moment.filetime else Activity.DISABLED


def permanent_lock(value: bytes, moment: Moment) -> Activity:  # noqa: ARG001 - a rule takes the time
    """pwdAccountLockedTime: one value locks for good, any other time is a lockout that passes.

    Source: draft-behera-ldap-password-policy-11 section 5.3.3.
    """
    if value == _PERMANENT_LOCK:
        return Activity.DISABLED
    return Activity.ACTIVE if _GENERALIZED_TIME.fullmatch(value) else Activity.UNKNOWN


def shadow_expire(value: bytes, moment: Moment) -> Activity:
    """shadowExpire: a day since 1970, -1 for never. What 0 means is left open by shadow(5)."""
    day = read_integer(value)
    if day is None or day == 0:
        return Activity.UNKNOWN
    return Activity.ACTIVE if day < 0 or day > moment.day else Activity.DISABLED


def account_lock(value: bytes, moment: Moment) -> Activity:  # noqa: ARG001 - a rule takes the time
    """nsAccountLock of 389 Directory Server and loginDisabled of eDirectory: true or false, in any case."""
    said = value.strip().lower()
    if said == b"true":
        return Activity.DISABLED
    return Activity.ACTIVE if said == b"false" else Activity.UNKNOWN


def one_of(values: tuple[str, ...]) -> Rule:
    """A rule of the administrator's own: these values disable, compared without case."""
    disabling = {value.casefold() for value in values}

    def rule(value: bytes, moment: Moment) -> Activity:  # noqa: ARG001 - a rule takes the time
        try:
            said = value.decode("utf-8").strip().casefold()
        except UnicodeDecodeError:
            return Activity.UNKNOWN
        return Activity.DISABLED if said in disabling else Activity.ACTIVE

    return rule


def read_integer(value: bytes) -> int | None:
    """A decimal number as servers write it; None for anything else."""
    return int(value) if _INTEGER.fullmatch(value) else None
