"""`usher session`: who is signed in, and how that is ended."""

import click

from directory.ids import SessionId
from directory.sso_changes import EndSession, EndSessionsOf
from provisioning.logins import StoredSession
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.output import clean
from service.names import find_member, is_id

_MOST_SHOWN = 1000


@click.group(cls=UsherGroup)
def session() -> None:
    """Sessions of people who have signed in."""


@session.command("list")
@click.option("--member", metavar="PERSON", default="", help="Of one person: id, address or user name.")
@organisation_option
def list_(member: str) -> None:
    """List live sessions, the newest first."""
    call = current()
    with call.administration.read() as reader:
        member_id = find_member(reader, member).member_id if member else None
        found = reader.sso.sessions(member_id, call.wiring.clock(), _MOST_SHOWN)
        people = reader.member_records({one.member_id for one in found}, with_attributes=False)
        connections = {one.connection_id: one.name for one in reader.sso.connections()}
    rows = [
        {
            **_document(one),
            "member": people[one.member_id].mail or people[one.member_id].display_name,
            "connection": connections.get(one.connection_id, "") if one.connection_id else "",
        }
        for one in found
    ]
    columns = {
        "session_id": "Session",
        "member": "Person",
        "kind": "Kind",
        "connection": "Connection",
        "created_at": "Since",
        "last_used_at": "Last used",
        "expires_at": "Ends",
        "address": "From",
    }
    call.output.listing(rows, columns, empty="Nobody is signed in.")


@session.command()
@click.argument("session_id", metavar="[SESSION]", required=False, default="")
@click.option("--member", metavar="PERSON", default="", help="All sessions of one person.")
@organisation_option
def revoke(session_id: str, member: str) -> None:
    """End a session, by its id, or all sessions of a person.

    Host applications get no more tokens for it, and those that want to be told are told.
    """
    call = current()
    administration = call.administration
    if bool(session_id) == bool(member):
        raise click.UsageError("name a session by its id, or a person by --member")
    if session_id:
        if not is_id(session_id):
            raise click.UsageError(f"'{session_id}' is no id of a session; see 'usher session list'")
        administration.apply([EndSession(SessionId(session_id.lower()), "revoked")])
        call.output.say(f"The session {session_id} has ended.", {"session_id": session_id})
        return
    with administration.read() as reader:
        record = find_member(reader, member)
        count = len(reader.sso.sessions(record.member_id, call.wiring.clock(), _MOST_SHOWN))
    administration.apply([EndSessionsOf(record.member_id, "revoked")])
    call.output.say(
        f"{count} sessions of {clean(record.mail or record.display_name)} have ended.",
        {"member_id": record.member_id, "sessions_ended": count},
    )


def _document(one: StoredSession) -> dict[str, object]:
    return {
        "session_id": one.session_id,
        "member_id": one.member_id,
        "kind": one.kind,
        "auth_time": one.auth_time,
        "created_at": one.created_at,
        "last_used_at": one.last_used_at,
        "expires_at": one.expires_at,
        "address": one.address,
    }
