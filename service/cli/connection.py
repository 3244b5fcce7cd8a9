"""`usher connection`: the identity providers that people sign in at."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from directory.sso_changes import PutConnection, RemoveConnection
from provisioning.connection_settings import PRESETS
from provisioning.logins import ConnectionSettings, IdPCertificate, SPKey, StoredConnection
from provisioning.models import read_model
from saml.addresses import addresses, sp_metadata
from service.administration import Administration
from service.cli.certificates import certificate
from service.cli.enforcement import ENFORCEMENT_COMMANDS
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.output import clean, shown
from service.cli.values import parse_settings
from service.connections import (
    Document,
    add_connection,
    fetch_document,
    refresh_connection,
    rotate_sp_key,
    take_document,
)
from service.errors import InputError, RefusedError
from service.names import find_connection, find_role
from service.outside import open_outgoing

_STDIN = "-"
_ROTATION = ("publish", "use", "retire")


@click.group(cls=UsherGroup)
def connection() -> None:
    """Identity providers that people sign in at by SAML."""


connection.add_command(certificate)
for enforcement_command in ENFORCEMENT_COMMANDS:
    connection.add_command(enforcement_command)


def _read_file(path: str) -> Document:
    if path == _STDIN:
        return Document(sys.stdin.buffer.read())
    return Document(Path(path).expanduser().read_bytes())


_SETTING = click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting, such as clock_skew_seconds=60; 'usher connection show' lists them.",
)


@connection.command()
@click.argument("name")
@click.option(
    "--metadata", "file", default="", metavar="FILE", help="The provider's metadata; '-' reads a paste."
)
@click.option(
    "--metadata-url", "url", default="", help="Where the provider publishes it; read anew each day."
)
@click.option("--entity-id", default="", help="Which provider, where the metadata names several.")
@click.option(
    "--preset", type=click.Choice(PRESETS), default="generic", show_default=True, help="What it calls things."
)
@click.option("--jit", is_flag=True, help="Let people of verified domains in whom no directory brings.")
@click.option("--default-role", default="", help="What somebody let in so gets where no rule matches.")
@_SETTING
@organisation_option
def add(
    name: str,
    file: str,
    url: str,
    entity_id: str,
    preset: str,
    jit: bool,
    default_role: str,
    given: tuple[str, ...],
) -> None:
    """Add an identity provider; without metadata as a draft, whose own metadata can be given away first."""
    call = current()
    administration = call.administration
    if file and url:
        raise click.UsageError("give the metadata either by --metadata or by --metadata-url")
    settings = {"preset": preset, **parse_settings(given, asdict(ConnectionSettings()))}
    if jit:
        settings["jit"] = True
    if default_role:
        with administration.read() as reader:
            settings["default_role"] = find_role(read_model(reader, reader.organisation()), default_role)
    document = _read_file(file) if file else None
    if url:
        with open_outgoing(call.settings) as outgoing:
            document = fetch_document(outgoing, url)
    added = add_connection(administration, name, document=document, entity_id=entity_id, settings=settings)
    own = addresses(call.settings.base_url, added.connection_id)
    if call.is_json:
        call.output.document(_document(added, call.settings.base_url))
        return
    line = call.output.line
    line(f"Connection '{clean(name)}' is added. Give the identity provider, or let it read our metadata:")
    line(f"  Entity ID (audience)  {own.entity_id}")
    line(f"  ACS URL (reply URL)   {own.acs}")
    line(f"  Single logout URL     {own.slo}")
    quoted = shlex.quote(name)
    if document is None:
        line(f"It is a draft. Then: usher connection metadata {quoted} --file FILE")
    line(f"Try it: usher connection test {quoted}")


@connection.command("list")
@organisation_option
def list_() -> None:
    """List the connections."""
    call = current()
    with call.administration.read() as reader:
        known, enforcement = reader.sso.connections(), reader.sso.enforcement()
    now = call.wiring.clock()
    rows = [
        {
            **_document(each, call.settings.base_url),
            "certificates": len(each.trusted(now)),
            "is_enforced": enforcement is not None and enforcement.connection_id == each.connection_id,
        }
        for each in known
    ]
    columns = {
        "connection": "Connection",
        "idp_entity_id": "Identity provider",
        "state": "State",
        "certificates": "Certificates",
        "is_enforced": "Enforced",
        "metadata_state": "Metadata",
    }
    call.output.listing(
        rows, columns, empty="There is no connection yet; add one with 'usher connection add'."
    )


@connection.command()
@click.argument("name", required=False, default="")
@organisation_option
def show(name: str) -> None:
    """Show a connection: addresses, certificates with their ends, metadata, settings."""
    call = current()
    with call.administration.read() as reader:
        known = find_connection(reader, name)
    document = _document(known, call.settings.base_url)
    if call.is_json:
        call.output.document(document)
        return
    call.output.record(document, _SHOWN)
    for each in known.certificates:
        call.output.line(f"Provider's certificate {each.sha256}: {_certificate_text(each)}")
    for key in known.keys:
        call.output.line(f"Our key {key.key_id}: {key.state}, ends {shown(key.not_after)}")
    settings = known.read
    for setting in sorted(ConnectionSettings.__dataclass_fields__):
        call.output.line(f"  {setting} = {shown(getattr(settings, setting))}")


_SHOWN = {
    "connection": "Connection",
    "id": "Id",
    "state": "State",
    "version": "Version",
    "idp_entity_id": "Identity provider",
    "sso_url": "Its sign-on address",
    "entity_id": "Our entity ID (audience)",
    "acs": "Our ACS URL (reply URL)",
    "slo": "Our single logout URL",
    "metadata_state": "Its metadata",
}


def _document(known: StoredConnection, base_url: str) -> dict[str, object]:
    own, settings = addresses(base_url, known.connection_id), known.read
    return {
        "connection": known.name,
        "id": known.connection_id,
        "state": _state(known),
        "version": known.version,
        "idp_entity_id": settings.idp_entity_id,
        "sso_url": settings.sso_url,
        "entity_id": own.entity_id,
        "acs": own.acs,
        "slo": own.slo,
        "metadata_state": _metadata_text(known),
        "settings": dict(known.settings),
        "certificates": [_certificate_document(each) for each in known.certificates],
        "keys": [_key_document(key) for key in known.keys],
    }


def _state(known: StoredConnection) -> str:
    if known.read.disabled:
        return "disabled"
    return "ready" if known.read.sso_url and known.certificates else "draft"


def _metadata_text(known: StoredConnection) -> str:
    copy = known.metadata
    if copy is None:
        return "none"
    if copy.failing_since is not None:
        return f"failing since {shown(copy.failing_since)} ({copy.failure}); the copy of {shown(copy.taken_at)} holds"
    return f"taken {shown(copy.taken_at)}, read {shown(copy.checked_at)}"


def _certificate_text(each: IdPCertificate) -> str:
    until = f", verifies until {shown(each.ends_at)}" if each.ends_at is not None else ""
    return f"{each.state}, ends {shown(each.not_after)}{until}"


def _certificate_document(each: IdPCertificate) -> dict[str, object]:
    return {
        "sha256": each.sha256,
        "state": each.state,
        "not_after": each.not_after,
        "ends_at": each.ends_at,
    }


def _key_document(key: SPKey) -> dict[str, object]:
    return {"id": key.key_id, "state": key.state, "not_after": key.not_after}


@connection.command("set")
@click.argument("name")
@click.argument("given", nargs=-1, required=True, metavar="NAME=VALUE...")
@organisation_option
def set_(name: str, given: tuple[str, ...]) -> None:
    """Change settings; an empty value is the default again. A test login is good for the version it was made on."""
    call = current()
    administration = call.administration
    changed = parse_settings(given, asdict(ConnectionSettings()))
    with administration.read() as reader:
        known = find_connection(reader, name)
    after = put_settings(administration, known, changed)
    call.output.say(
        f"Connection '{clean(known.name)}' has the version {after.version}.",
        _document(after, call.settings.base_url),
    )


def put_settings(
    administration: Administration, known: StoredConnection, changed: Mapping[str, str | int | bool]
) -> StoredConnection:
    """Put the connection with some settings changed. Raises RefusedError."""
    administration.apply([PutConnection(known.connection_id, known.name, {**known.settings, **changed})])
    with administration.read() as reader:
        return find_connection(reader, known.connection_id)


@connection.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@organisation_option
def remove(name: str, yes: bool) -> None:
    """Remove a connection; whoever signed in over it is signed out."""
    call = current()
    with call.administration.read() as reader:
        known = find_connection(reader, name)
    if not yes:
        click.confirm(
            f"Nobody could sign in over '{clean(known.name)}' any more. Remove it?", abort=True, err=True
        )
    call.administration.apply([RemoveConnection(known.connection_id)])
    call.output.say(
        f"Connection '{clean(known.name)}' is removed.", {"connection": known.name, "id": known.connection_id}
    )


@connection.command()
@click.argument("name", required=False, default="")
@click.option(
    "--file", default="", metavar="FILE", help="Take the provider's metadata from a file; '-' reads a paste."
)
@click.option("--url", default="", help="Take it from this address, and read it anew from there each day.")
@click.option("--refresh", is_flag=True, help="Read it anew from its address now.")
@click.option("--entity-id", default="", help="Which provider, where the metadata names several.")
@organisation_option
def metadata(name: str, file: str, url: str, refresh: bool, entity_id: str) -> None:
    """Print our metadata for the provider; or take the provider's from a file or an address."""
    call = current()
    administration = call.administration
    if sum((bool(file), bool(url), refresh)) > 1:
        raise click.UsageError("give one of --file, --url and --refresh")
    with administration.read() as reader:
        known = find_connection(reader, name)
    if file:
        after = take_document(administration, known, _read_file(file), entity_id=entity_id)
    elif url:
        with open_outgoing(call.settings) as outgoing:
            document = fetch_document(outgoing, url)
        assert document is not None  # noqa: S101 - only a question with an ETag has no answer
        after = take_document(administration, known, document, entity_id=entity_id)
        after = put_settings(administration, after, {"metadata_url": url})
    elif refresh:
        after = _refresh(administration, known)
    else:
        # The document itself, to be piped into a file.
        call.output.line(sp_metadata(known, call.settings.base_url).decode().rstrip())
        return
    _show_taken(known, after)


def _refresh(administration: Administration, known: StoredConnection) -> StoredConnection:
    if not known.read.metadata_url:
        raise InputError(["the connection has no address of metadata; give one with --url"])
    with open_outgoing(administration.wiring.settings) as outgoing:
        failure = refresh_connection(administration, known, outgoing)
    if failure:
        raise RefusedError("metadata", f"{failure}. The last good copy stays in force.")
    with administration.read() as reader:
        return find_connection(reader, known.connection_id)


def _show_taken(before: StoredConnection, after: StoredConnection) -> None:
    call = current()
    if call.is_json:
        call.output.document(_document(after, call.settings.base_url))
        return
    was = {each.sha256: each for each in before.certificates}
    call.output.line(
        f"The metadata of '{clean(after.name)}' is taken; the connection has version {after.version}."
    )
    for setting in ("idp_entity_id", "sso_url", "sso_binding", "slo_url", "slo_binding"):
        old, new = getattr(before.read, setting), getattr(after.read, setting)
        if old != new:
            call.output.line(f"  {setting}: {shown(old) or '-'} -> {shown(new) or '-'}")
    for each in after.certificates:
        if each != was.get(each.sha256):
            call.output.line(f"  certificate {each.sha256}: {_certificate_text(each)}")


@connection.command()
@click.argument("name")
@click.argument("step", type=click.Choice(_ROTATION))
@organisation_option
def rotate(name: str, step: str) -> None:
    """Change our key in three steps, between which no login fails: publish the next one, use it, retire the old."""
    call = current()
    with call.administration.read() as reader:
        known = find_connection(reader, name)
    after = rotate_sp_key(call.administration, known, step)
    keys = ", ".join(f"{key.key_id} ({key.state})" for key in after.keys)
    following = {
        "publish": "Let the identity provider read our metadata, then: 'usher connection rotate NAME use'.",
        "use": "Once the provider encrypts for the new key: 'usher connection rotate NAME retire'.",
        "retire": "The old key is destroyed.",
    }
    call.output.say(f"Keys: {keys}. {following[step]}", _document(after, call.settings.base_url))
