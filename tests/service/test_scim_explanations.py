"""Every answer that a SCIM client may get for a fault is explained, and the guide says the same."""

import re
from collections.abc import Iterator

import click
import pytest

from scim.errors import SCIMError
from service.cli import cli
from service.scim_explanations import EXPLANATIONS, Explanation, explain, render_guide
from tests.architecture.project import ROOT

COMMAND = re.compile(r"`usher ([^`]+)`")


def errors_of(kind: type[SCIMError] = SCIMError) -> Iterator[type[SCIMError]]:
    yield kind
    for further in kind.__subclasses__():
        yield from errors_of(further)


@pytest.mark.parametrize("kind", list(errors_of()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_endpoint_is_explained(kind: type[SCIMError]) -> None:
    found = explain(kind.status, kind.scim_type, "words that nobody has written")

    assert found is not None
    assert found.words == ()


@pytest.mark.parametrize("status", [500, 503])
def test_a_failure_of_the_server_is_explained(status: int) -> None:
    assert explain(status, "", "something went wrong here") is not None


@pytest.mark.parametrize(
    ("status", "scim_type", "detail", "title"),
    [
        (
            403,
            "",
            "Seat limit reached: 5 of 5 used (plan Standard). The user was not added.",
            "There is no seat left",
        ),
        (
            403,
            "",
            "this directory is paused, so nothing that is pushed to it is taken",
            "The directory is paused",
        ),
        (
            403,
            "",
            "the owner of the organisation cannot be deactivated",
            "The owner of the organisation is protected",
        ),
        (403, "", "the discovery resources cannot be filtered", "The discovery resources take no filter"),
        (403, "", "something else", "The change is not allowed"),
        (
            400,
            "invalidValue",
            "'a@b.example' is outside the verified domains of the organisation",
            "The address is outside the verified domains",
        ),
        (
            400,
            "invalidValue",
            "members 'x' are neither users nor groups of this directory; nothing was changed",
            "A member of the group is not known here",
        ),
        (400, "invalidValue", "userName is required and must not be empty", "A value does not fit"),
    ],
)
def test_the_detail_tells_reasons_of_one_status_apart(
    status: int, scim_type: str, detail: str, title: str
) -> None:
    found = explain(status, scim_type, detail)

    assert found is not None
    assert found.title == title


def test_what_is_no_fault_needs_no_explanation() -> None:
    assert explain(200, "", "") is None
    assert explain(418, "", "") is None


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda one: one.title)
def test_every_explanation_can_be_reached(explanation: Explanation) -> None:
    detail = explanation.words[0] if explanation.words else "-"

    assert explain(explanation.status, explanation.scim_type, detail) is explanation


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda one: one.title)
def test_a_remedy_names_commands_that_there_are(explanation: Explanation) -> None:
    for words in COMMAND.findall(explanation.remedy):
        command: click.Command | None = cli
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            command = command.get_command(click.Context(command), word)
            assert command is not None, words


def test_the_guide_is_rendered_from_the_table() -> None:
    written = (ROOT / "docs" / "guides" / "scim-errors.md").read_text(encoding="utf-8")

    assert written == render_guide()
