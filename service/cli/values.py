"""Values as people type them: moments, seats, grants."""

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import click

from provisioning.guard import GuardLimits
from provisioning.state import UNLIMITED
from service.wiring import utc_now

GUARD_HELP = f"A limit of the guard: {', '.join(sorted(GuardLimits.__dataclass_fields__))}."
_SPAN = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhdw])")
_FLAGS = {"true": True, "yes": True, "false": False, "no": False}
_MOST_FIGURES = 9
_LISTS = frozenset({"initiated_targets"})
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


class MomentType(click.ParamType[datetime]):
    """A moment: `2026-12-31`, `2026-12-31T18:00` (UTC unless it says otherwise), `now`, or a span such as `90m`.

    A span counts from now, ahead or back as the option says.
    """

    name = "moment"

    def __init__(self, *, is_ahead: bool) -> None:
        self._sign = 1 if is_ahead else -1

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        if value == "now":
            return utc_now()
        span = _SPAN.fullmatch(value)
        try:
            if span is not None:
                return utc_now() + self._sign * int(span["number"]) * _UNITS[span["unit"]]
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            example = "in 7 days" if self._sign > 0 else "7 days ago"
            self.fail(
                f"'{value}' is no moment; write 2026-12-31, 2026-12-31T18:00, now, or 7d for {example}",
                param,
                ctx,
            )


class EndType(MomentType):
    """A moment to come; a number alone is one of days."""

    name = "days or date"

    def __init__(self) -> None:
        super().__init__(is_ahead=True)

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7
        return super().convert(f"{value}d" if is_number else value, param, ctx)


END = EndType()
AHEAD = MomentType(is_ahead=True)
BACK = MomentType(is_ahead=False)


class SeatsType(click.ParamType[int]):
    """A number of seats from 1, or `unlimited`, which must be said in words (MT-14)."""

    name = "seats"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value.lower() == "unlimited":
            return UNLIMITED
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            self.fail(f"'{value}' is no number of seats; write a number from 1, or unlimited", param, ctx)
        return int(value)


SEATS = SeatsType()


class GrantType(click.ParamType[tuple[str, str]]):
    """A role at a scope: `Member@unit/loft-7`, `Admin@organisation`."""

    name = "role@scope"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        role, at, scope = value.partition("@")
        if not role or not at or not scope:
            self.fail(f"'{value}' is no grant; write ROLE@SCOPE, such as Admin@organisation", param, ctx)
        return role, scope


GRANT = GrantType()


def seats_text(limit: int | None) -> str:
    """A seat limit in words."""
    return "unlimited" if limit is None or limit == UNLIMITED else str(limit)


def parse_guards(guards: Sequence[str]) -> Mapping[str, int]:
    """Limits of the guard as they are typed, NAME=NUMBER. Raises BadParameter."""
    found: dict[str, int] = {}
    for guard in guards:
        limit, equals, number = guard.partition("=")
        if not equals or limit not in GuardLimits.__dataclass_fields__ or not number.isdigit():
            known = ", ".join(sorted(GuardLimits.__dataclass_fields__))
            raise click.BadParameter(
                f"'{guard}' is no limit; write one of {known} as NAME=NUMBER", param_hint="--guard"
            )
        found[limit] = int(number)
    return found


def parse_settings(
    given: Sequence[str], known: Mapping[str, str | int | bool]
) -> dict[str, str | int | bool]:
    """Settings as `name=value`, of the types that their defaults have. An empty value is the default."""
    parsed: dict[str, str | int | bool] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; settings are {', '.join(sorted(known))}"
            raise click.UsageError(f"'{text}' is no setting as NAME=VALUE{hint}")
        parsed[name] = _setting(name, value, known[name])
    return parsed


def _setting(name: str, value: str, default: str | int | bool) -> str | int | bool:
    if not value:
        return default
    if isinstance(default, bool):
        if value.lower() not in _FLAGS:
            raise click.UsageError(f"setting '{name}' is true or false, not '{value}'")
        return _FLAGS[value.lower()]
    if isinstance(default, int):
        if not value.isascii() or not value.isdigit() or len(value) > _MOST_FIGURES:
            raise click.UsageError(f"setting '{name}' is a whole number, not '{value}'")
        return int(value)
    # Several lines are written as one, apart by blanks: addresses hold none.
    return value.replace(" ", "\n") if name in _LISTS else value
