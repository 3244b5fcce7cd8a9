"""Who may act, as servers say it: locked for good, locked for a while, expired, or unreadable."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from directory.facts import Activity
from sync.dialects.activity import (
    Rule,
    account_control,
    account_expires,
    account_lock,
    decide,
    one_of,
    permanent_lock,
    read_integer,
    shadow_expire,
)
from sync.dialects.dialect import Moment

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MOMENT = Moment.at(NOW)
ACTIVE, DISABLED, UNKNOWN = Activity.ACTIVE, Activity.DISABLED, Activity.UNKNOWN


def test_a_moment_counts_as_directories_do() -> None:
    # The epochs, and a moment known from outside: 2000-01-01 is FILETIME 125911584000000000.
    assert Moment.at(datetime(2000, 1, 1, tzinfo=UTC)) == Moment(125_911_584_000_000_000, 10_957)
    assert Moment.at(datetime(1970, 1, 1, 0, 0, 0, 7, tzinfo=UTC)) == Moment(116_444_736_000_000_070, 0)
    assert Moment.at(NOW.astimezone(timezone(timedelta(hours=9)))) == MOMENT


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"512", ACTIVE),
        (b"514", DISABLED),
        (b"544", ACTIVE),
        (b"546", DISABLED),
        (b"66082", DISABLED),
        (b"528", ACTIVE),  # LOCKOUT passes by itself.
        (b"-2147483136", ACTIVE),
        (b"", UNKNOWN),
        (b"0x202", UNKNOWN),
        ("٥١٢".encode(), UNKNOWN),
    ],
)
def test_bit_two_of_account_control_disables(value: bytes, said: Activity) -> None:
    assert account_control(value, MOMENT) is said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"0", ACTIVE),
        (b"9223372036854775807", ACTIVE),
        (b"%d" % (MOMENT.filetime + 1), ACTIVE),
        (b"%d" % MOMENT.filetime, DISABLED),
        (b"1", DISABLED),
        (b"-1", UNKNOWN),
        (b"never", UNKNOWN),
        (b"9" * 40, UNKNOWN),
    ],
)
def test_an_account_ends_at_its_end(value: bytes, said: Activity) -> None:
    assert account_expires(value, MOMENT) is said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"000001010000Z", DISABLED),
        (b"20261121110000Z", ACTIVE),
        (b"20261121110000.123456Z", ACTIVE),
        (b"2026112111+0200", ACTIVE),
        (b"yesterday", UNKNOWN),
        (b"", UNKNOWN),
    ],
)
def test_only_the_permanent_lock_disables_and_other_lockouts_pass(value: bytes, said: Activity) -> None:
    assert permanent_lock(value, MOMENT) is said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"-1", ACTIVE),
        (b"%d" % (MOMENT.day + 1), ACTIVE),
        (b"%d" % MOMENT.day, DISABLED),
        (b"1", DISABLED),
        (b"0", UNKNOWN),
        (b"soon", UNKNOWN),
    ],
)
def test_a_shadow_account_ends_on_its_day(value: bytes, said: Activity) -> None:
    assert shadow_expire(value, MOMENT) is said


@pytest.mark.parametrize(
    ("value", "said"),
    [(b"TRUE", DISABLED), (b"true", DISABLED), (b" True ", DISABLED), (b"false", ACTIVE), (b"1", UNKNOWN)],
)
def test_an_account_lock_is_read_in_any_case(value: bytes, said: Activity) -> None:
    assert account_lock(value, MOMENT) is said


@pytest.mark.parametrize(
    ("value", "said"), [(b"LEFT", DISABLED), (b" left", DISABLED), (b"here", ACTIVE), (b"\xff", UNKNOWN)]
)
def test_an_administrator_may_name_values_that_disable(value: bytes, said: Activity) -> None:
    assert one_of(("Left", "retired"))(value, MOMENT) is said


def test_one_rule_that_disables_outweighs_all_and_what_is_unreadable_outweighs_active() -> None:
    rules: dict[str, Rule] = {"shadowexpire": shadow_expire, "nsaccountlock": account_lock}

    def said(**values: bytes) -> Activity:
        return decide(rules, {name: [value] for name, value in values.items()}, MOMENT)

    assert said() is ACTIVE
    assert said(shadowexpire=b"?", nsaccountlock=b"false") is UNKNOWN
    assert said(shadowexpire=b"?", nsaccountlock=b"true") is DISABLED
    assert decide(rules, {"nsaccountlock": [b"false", b"true"]}, MOMENT) is DISABLED


def test_a_number_is_read_only_as_servers_write_it() -> None:
    assert [read_integer(text) for text in (b"12", b"-3", b"1_000", b" 1", b"+1", b"")] == [12, -3] + [
        None
    ] * 4
