"""`usher token`: what lets an identity provider into a SCIM directory."""

from datetime import datetime

import click

from directory.changes import RevokeToken
from provisioning.ports import Reader
from provisioning.resources import StoredToken
from provisioning.tokens import is_live
from service.cli.frame import Invocation, UsherGroup, current, organisation_option
from service.cli.output import clean, shown
from service.cli.values import AHEAD, END
from service.directories import scim_base_url
from service.errors import NotFoundError
from service.names import find_push_directory, find_token
from service.tokens import IssuedToken, days_left, issue_token, rotate_token, token_state

_SOON_DAYS = 30


@click.group(cls=UsherGroup)
def token() -> None:
    """Bearer tokens of SCIM directories."""


@token.command()
@click.argument("directory", required=False, default="")
@click.option("--name", default="", help="What to call it. Default: the directory's name.")
@click.option(
    "--expires", "expires_at", type=END, help="When it ends: days from now, or a date. Default: never."
)
@organisation_option
def create(directory: str, name: str, expires_at: datetime | None) -> None:
    """Create a token and show it, this once."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        known = find_push_directory(reader, directory)
    issued = issue_token(administration, known, name=name or known.name, expires_at=expires_at)
    _show_issued(call, issued, f"The token '{clean(issued.token.name)}' of directory '{clean(known.name)}':")


def _show_issued(call: Invocation, issued: IssuedToken, heading: str, *further: str) -> None:
    row = issued.token
    base_url = scim_base_url(call.settings, row.directory_id)
    if call.is_json:
        document = {"token": issued.text, "base_url": base_url, **token_document(row, call.wiring.clock())}
        call.output.document(document)
        return
    line = call.output.line
    line(heading)
    line(issued.text)
    line("It is shown this once; only its digest is kept.")
    line(f"Base URL: {base_url}")
    if row.expires_at is not None:
        line(f"It ends at {shown(row.expires_at)}; notices come 30, 7 and 1 days before.")
    for text in further:
        line(text)


@token.command("list")
@click.argument("directory", required=False, default="")
@click.option("--all", "everything", is_flag=True, help="Also those that were revoked or have ended.")
@organisation_option
def list_(directory: str, everything: bool) -> None:
    """List the tokens: until when they are good, and when and from where they were last used."""
    call = current()
    with call.administration.read() as reader:
        wanted = find_push_directory(reader, directory).directory_id if directory else None
        tokens = reader.tokens(wanted)
    now = call.wiring.clock()
    kept = [row for row in tokens if everything or call.is_json or is_live(row, now)]
    call.output.listing(
        [{**token_document(row, now), "text": token_text(row, now)} for row in kept],
        {
            "directory": "Directory",
            "name": "Name",
            "prefix": "Prefix",
            "text": "State",
            "created_at": "Created",
            "last_used_at": "Last used",
            "last_used_from": "From",
        },
        empty="There is no live token; make one with 'usher token create DIRECTORY'.",
    )


def token_document(row: StoredToken, now: datetime) -> dict[str, object]:
    """What a program reads of a token; nothing in it lets anybody in."""
    return {
        "directory": row.directory_name,
        "id": row.token_id,
        "name": row.name,
        "prefix": row.prefix,
        "state": token_state(row, now),
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "days_left": days_left(row, now),
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
        "last_used_from": row.last_used_from,
    }


def token_text(row: StoredToken, now: datetime) -> str:
    """The state of a token in words, with its end where it has one."""
    left = days_left(row, now)
    if left is None:
        state = token_state(row, now)
        return "is good until it is revoked" if state == "live" else state
    warning = ", soon" if left <= _SOON_DAYS else ""
    return f"ends in {left} days, at {shown(row.expires_at)}{warning}"


@token.command()
@click.argument("name", metavar="TOKEN")
@organisation_option
def revoke(name: str) -> None:
    """Revoke a token, by its prefix, name or id. It opens nothing from the next request on."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        row = find_token(reader, name, call.wiring.clock())
    was_live = is_live(row, call.wiring.clock())
    administration.apply([RevokeToken(row.token_id)])
    said = "is revoked; it opens nothing any more" if was_live else "was not good any more"
    call.output.say(
        f"Token '{clean(row.name)}' ({row.prefix}) of directory '{clean(row.directory_name)}' {said}.",
        {"id": row.token_id, "prefix": row.prefix, "directory": row.directory_name, "was_live": was_live},
    )


@token.command()
@click.argument("name", metavar="TOKEN|DIRECTORY")
@click.option(
    "--expires", "expires_at", type=END, help="When the new one ends. Default: after as long as the old one."
)
@click.option(
    "--revoke-old-after",
    "revoke_old_at",
    type=AHEAD,
    metavar="SPAN",
    help="End the old one by itself after a span such as 7d.",
)
@organisation_option
def rotate(name: str, expires_at: datetime | None, revoke_old_at: datetime | None) -> None:
    """Make a new token in the place of one. Both are good until the old one is revoked."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        old = _token_to_rotate(reader, name, call.wiring.clock())
    issued = rotate_token(administration, old, expires_at=expires_at, revoke_old_at=revoke_old_at)
    if revoke_old_at is None:
        end = (
            "Put it into the identity provider, see in 'usher token list' that it is used, and then end the old "
            f"one: usher token revoke {old.prefix}"
        )
    else:
        end = f"Put it into the identity provider. The old one ({old.prefix}) ends at {shown(revoke_old_at)}."
    _show_issued(call, issued, f"The new token in the place of '{clean(old.name)}' ({old.prefix}):", end)


def _token_to_rotate(reader: Reader, name: str, now: datetime) -> StoredToken:
    """The token of this name; or, by the name of a directory, its latest live one."""
    try:
        return find_token(reader, name, now)
    except NotFoundError as missing:
        try:
            directory = find_push_directory(reader, name)
        except NotFoundError:
            raise missing from None
        live = [row for row in reader.tokens(directory.directory_id) if is_live(row, now)]
        if not live:
            raise NotFoundError(
                f"directory '{directory.name}' has no live token; make one with 'usher token create'"
            ) from None
        return live[-1]
