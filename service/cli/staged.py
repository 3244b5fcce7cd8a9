"""`usher directory staged`, `allow` and `reject`: what the guard of a SCIM directory holds back, and its end."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from directory.changes import AllowStaged, RejectStaged
from directory.ids import MemberId
from mappings.access import resolve_access
from provisioning.models import OrganisationModel
from provisioning.ports import Reader
from provisioning.state import MemberRecord, StagedChange, StoredDirectory
from service.administration import Administration
from service.cli.changing import carry_out, pairs_text, preview_options
from service.cli.frame import UsherCommand, current, organisation_option
from service.errors import NotFoundError
from service.names import find_directory, find_member

F = TypeVar("F", bound=Callable[..., Any])


def _people_options(command: F) -> F:
    """Whom a decision is about: some by name, or all who wait."""
    with_all = click.option("--all", "everybody", is_flag=True, help="Everybody who waits.")
    with_people = click.option(
        "--person", "people", multiple=True, metavar="MEMBER", help="By mail, user name or id; several times."
    )
    with_name = click.argument("name", required=False, default="")
    return with_name(with_people(with_all(command)))


@click.command("staged", cls=UsherCommand)
@click.argument("name", required=False, default="")
@organisation_option
def staged(name: str) -> None:
    """List the people from whom a SCIM directory took something that the guard holds back."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        known = find_directory(reader, name)
        changes = reader.staged_changes(known.directory_id)
        records = reader.member_records([change.member_id for change in changes])
        model = administration.wiring.models.get(reader, reader.organisation())
    now = administration.wiring.clock()
    rows = []
    for change in changes:
        record = records[change.member_id]
        said = resolve_access(model.access, record.facts, now=now)
        rows.append(
            {
                **_row(change, record, model),
                "would_hold": pairs_text([grant.pair for grant in said.grants], model.scopes),
            }
        )
    columns = {
        "name": "Member",
        "mail": "Mail",
        "holds": "Holds",
        "would_hold": "The directory says",
        "state": "State",
        "staged_at": "Since",
        "id": "Id",
    }
    call.output.listing(rows, columns, empty=f"Nothing of directory '{known.name}' is held back.")


def _row(change: StagedChange, record: MemberRecord, model: OrganisationModel) -> dict[str, object]:
    return {
        "name": record.display_name,
        "mail": record.mail,
        "holds": pairs_text([held.grant.pair for held in record.held], model.scopes),
        "state": "rejected" if change.is_rejected else "waits",
        "staged_at": change.staged_at,
        "event_id": change.event_id,
        "id": change.member_id,
    }


@click.command("allow", cls=UsherCommand)
@_people_options
@preview_options
@organisation_option
def allow(name: str, people: tuple[str, ...], everybody: bool, preview: bool, plan_hash: str) -> None:
    """Let what the guard holds back have its effect. Who was rejected is meant only by name."""
    administration = current().administration
    known, members = _meant(administration, name, people, everybody=everybody)
    change = AllowStaged(known.directory_id, None if everybody else members)
    outcome = carry_out(administration, [change], preview=preview, plan_hash=plan_hash)
    if outcome is not None:
        current().output.say(
            f"What directory '{known.name}' said about {_counted(members)} has its effect.",
            {"directory": known.name, "members": members, "events": outcome.events},
        )


@click.command("reject", cls=UsherCommand)
@_people_options
@organisation_option
def reject(name: str, people: tuple[str, ...], everybody: bool) -> None:
    """Let people keep what they hold until the directory says something new about them."""
    administration = current().administration
    known, members = _meant(administration, name, people, everybody=everybody)
    outcome = administration.apply([RejectStaged(known.directory_id, None if everybody else members)])
    current().output.say(
        f"What directory '{known.name}' said about {_counted(members)} is rejected; they keep what they hold.",
        {"directory": known.name, "members": members, "events": outcome.events},
    )


def _meant(
    administration: Administration, name: str, people: Sequence[str], *, everybody: bool
) -> tuple[StoredDirectory, tuple[MemberId, ...]]:
    if bool(people) == everybody:
        raise click.UsageError("say whom you mean: --person MEMBER, or --all")
    with administration.read() as reader:
        known = find_directory(reader, name)
        waiting = {
            change.member_id
            for change in reader.staged_changes(known.directory_id)
            if people or not change.is_rejected
        }
        if everybody:
            return known, tuple(sorted(waiting))
        return known, tuple(_find_waiting(reader, known, waiting, person) for person in people)


def _find_waiting(reader: Reader, known: StoredDirectory, waiting: set[MemberId], person: str) -> MemberId:
    record = find_member(reader, person)
    if record.member_id not in waiting:
        raise NotFoundError(f"nothing of directory '{known.name}' is held back for '{record.display_name}'")
    return record.member_id


def _counted(members: Sequence[MemberId]) -> str:
    return f"{len(members)} {'person' if len(members) == 1 else 'people'}"
