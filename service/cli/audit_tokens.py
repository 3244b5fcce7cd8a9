"""`usher audit token`: what lets an auditor read one organisation's record over HTTP, and nothing else."""

from datetime import datetime

import click

from directory.audit_token_changes import RevokeAuditToken
from provisioning.audit_tokens import StoredAuditToken
from service.audit_tokens import audit_token_state, find_audit_token, issue_audit_token
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.output import clean, shown
from service.cli.values import END


@click.group("token", cls=UsherGroup)
def token() -> None:
    """Tokens that let auditors read the record over HTTP, and nothing else."""


@token.command()
@click.option("--name", required=True, help="Who is to read: 'Auditor EY'.")
@click.option(
    "--expires",
    "expires_at",
    type=END,
    required=True,
    help="When it ends: days from now such as 90d, or a date.",
)
@organisation_option
def create(name: str, expires_at: datetime) -> None:
    """Create a token that reads this organisation's record, and show it, this once."""
    call = current()
    issued = issue_audit_token(call.administration, name=name, expires_at=expires_at)
    row, base = issued.token, call.settings.base_url
    address = f"{base}/audit/{row.organisation_id}/events"
    if call.is_json:
        now = call.wiring.clock()
        call.output.document({"token": issued.text, "events": address, **_document(row, now)})
        return
    line = call.output.line
    line(f"The token '{clean(row.name)}', which reads the record and nothing else:")
    line(issued.text)
    line("It is shown this once; only its digest is kept.")
    line(f"Programs: {address}  (Authorization: Bearer TOKEN)")
    line(f"People: {base}/console/audit/sign-in")
    line(f"It ends at {shown(row.expires_at)}. What is read with it is itself recorded.")


@token.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were revoked or have ended.")
@organisation_option
def list_(everything: bool) -> None:
    """List the tokens: until when they are good, and when and from where they were last used."""
    call = current()
    now = call.wiring.clock()
    with call.administration.read() as reader:
        known = reader.audit_tokens.all()
    kept = [row for row in known if everything or call.is_json or row.is_live(now)]
    call.output.listing(
        [_document(row, now) for row in kept],
        {
            "name": "Name",
            "prefix": "Prefix",
            "state": "State",
            "expires_at": "Ends",
            "created_by": "Created by",
            "last_used_at": "Last used",
            "last_used_from": "From",
        },
        empty="There is no live token for auditors; make one with 'usher audit token create'.",
    )


@token.command()
@click.argument("name", metavar="TOKEN")
@organisation_option
def revoke(name: str) -> None:
    """Revoke a token, by its prefix, name or id. It, and every page opened with it, reads nothing from now on."""
    call = current()
    now = call.wiring.clock()
    with call.administration.read() as reader:
        row = find_audit_token(reader, name)
    call.administration.apply([RevokeAuditToken(row.token_id)])
    was_live = row.is_live(now)
    said = "is revoked; it reads nothing any more" if was_live else "was not good any more"
    call.output.say(
        f"Token '{clean(row.name)}' ({row.prefix}) {said}.",
        {"id": row.token_id, "prefix": row.prefix, "was_live": was_live},
    )


def _document(row: StoredAuditToken, now: datetime) -> dict[str, object]:
    return {
        "id": row.token_id,
        "organisation": row.organisation_id,
        "name": row.name,
        "prefix": row.prefix,
        "state": audit_token_state(row, now),
        "created_at": row.created_at,
        "created_by": row.created_by,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
        "last_used_at": row.last_used_at,
        "last_used_from": row.last_used_from,
    }
