"""Every expected error has an exit code, and its text is fit to be shown."""

from datetime import UTC, datetime, timedelta

import click
import pytest

import audit.errors
import directory.errors
import mappings.errors
import provisioning.errors
import saml.errors
import service.errors
import storage.errors
import sync.errors
import web.outgoing
from service.cli import exits
from service.cli.values import AHEAD, BACK, END, GRANT, SEATS
from service.wiring import utc_now

MODULES = (
    audit.errors,
    directory.errors,
    mappings.errors,
    provisioning.errors,
    saml.errors,
    service.errors,
    storage.errors,
    sync.errors,
    web.outgoing,
)
ERRORS = sorted(
    (
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and issubclass(value, exits.EXPECTED)
    ),
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_and_a_slug(kind: type[Exception]) -> None:
    error = kind.__new__(kind)

    assert exits.exit_code(error) in {exits.REFUSED, exits.USAGE, exits.OUTSIDE}
    code = getattr(kind, "code", "")
    assert code.replace("_", "").isalpha()


def test_every_root_of_errors_is_expected() -> None:
    roots = {kind for kind in ERRORS if kind.__base__ is Exception}

    assert roots == set(exits.EXPECTED) - {OSError}


def test_error_of_the_system_is_told_with_its_file() -> None:
    error = FileNotFoundError(2, "No such file or directory", "x.yaml")

    assert exits.error_text(error) == "'x.yaml': No such file or directory"
    assert exits.error_text(OSError("odd")) == "odd"
    assert exits.error_text(OSError(5, "Input/output error")) == "Input/output error"
    assert exits.error_document(error)["error"] == {
        "code": "outside_failure",
        "message": "'x.yaml': No such file or directory",
    }
    assert exits.exit_code(error) == exits.OUTSIDE


def test_error_without_words_is_told_by_its_name() -> None:
    assert exits.error_text(TimeoutError()) == "TimeoutError"


# Values as typed


def test_values_that_are_converted_already_stay() -> None:
    now = utc_now()

    assert AHEAD.convert(now, None, None) is now
    assert END.convert(now, None, None) is now
    assert SEATS.convert(3, None, None) == 3
    assert GRANT.convert(("a", "b"), None, None) == ("a", "b")


def test_a_number_alone_is_one_of_days() -> None:
    now = utc_now()

    assert timedelta(days=90) <= END.convert("90", None, None) - now < timedelta(days=91)
    assert END.convert("2999-01-01", None, None) == datetime(2999, 1, 1, tzinfo=UTC)
    with pytest.raises(click.BadParameter, match="'9999999' is no moment"):
        END.convert("9999999", None, None)


def test_span_counts_ahead_or_back() -> None:
    now = utc_now()

    assert AHEAD.convert("2h", None, None) > now > BACK.convert("2h", None, None)
    with pytest.raises(click.BadParameter, match="is no moment"):
        AHEAD.convert("999999w", None, None)
