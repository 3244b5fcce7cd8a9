"""`usher client`: host applications that sign people in over OpenID Connect, and the keys that sign for them."""

import click

from provisioning.clients import StoredClient
from service.cli.frame import UsherGroup, current
from service.cli.output import clean, shown
from service.clients import (
    NewClient,
    find_client,
    register_client,
    remove_client,
    signing_keys,
)


@click.group(cls=UsherGroup)
def client() -> None:
    """Host applications that sign people in over OpenID Connect."""


@client.command()
@click.argument("name")
@click.option("--environment", required=True, metavar="ID", help="The environment that it serves.")
@click.option(
    "--redirect-uri",
    "redirect_uris",
    multiple=True,
    required=True,
    metavar="URL",
    help="Where people come back to with a code. Compared letter by letter; may be given several times.",
)
@click.option(
    "--logout-uri",
    "logout_uris",
    multiple=True,
    metavar="URL",
    help="Where people may be led to after they signed out; may be given several times.",
)
@click.option(
    "--backchannel-logout-uri",
    default="",
    metavar="URL",
    help="What is told when a session ends (OpenID Connect Back-Channel Logout).",
)
@click.option(
    "--public", "is_public", is_flag=True, help="It can keep no secret, such as an app on a telephone."
)
def add(
    name: str,
    environment: str,
    redirect_uris: tuple[str, ...],
    logout_uris: tuple[str, ...],
    backchannel_logout_uri: str,
    is_public: bool,
) -> None:
    """Register an application, and show its secret, this once."""
    call = current()
    new = NewClient(name, environment, redirect_uris, logout_uris, backchannel_logout_uri, is_public)
    registered = register_client(call.wiring, new, call.actor)
    known, issuer = registered.client, call.settings.base_url
    if call.is_json:
        call.output.document(
            {**_document(known), "issuer": issuer, "client_secret": registered.secret or None}
        )
        return
    line = call.output.line
    line(f"The application '{clean(known.name)}' is registered. What it is configured with:")
    line(f"  issuer         {issuer}")
    line(f"  client id      {known.client_id}")
    if registered.secret:
        line(f"  client secret  {registered.secret}")
        line("The secret is shown this once; only its digest is kept.")
    else:
        line("It has no secret: PKCE alone proves that who began a login ends it.")


@client.command("list")
def list_() -> None:
    """List the applications."""
    call = current()
    call.output.listing(
        [_document(known) for known in call.wiring.clients.clients()],
        {
            "name": "Name",
            "client_id": "Client id",
            "environment": "Environment",
            "kind": "Kind",
            "created_at": "Created",
        },
        empty="There is no application yet; register one with 'usher client add'.",
    )


@client.command()
@click.argument("name", metavar="CLIENT")
def show(name: str) -> None:
    """Show an application, by its name or client id."""
    call = current()
    known = find_client(call.wiring, name)
    if call.is_json:
        call.output.document({**_document(known), "issuer": call.settings.base_url})
        return
    line = call.output.line
    line(f"{clean(known.name)} ({_kind(known)}), environment {known.environment_id}")
    line(f"Client id: {known.client_id}")
    line(f"Issuer: {call.settings.base_url}")
    line(f"Registered: {shown(known.created_at)}")
    for what, urls in (
        ("Comes back to", known.redirect_uris),
        ("After signing out", known.logout_uris),
        ("Told of ended sessions", (known.backchannel_logout_uri,) if known.backchannel_logout_uri else ()),
    ):
        for url in urls:
            line(f"{what}: {clean(url)}")


@client.command()
@click.argument("name", metavar="CLIENT")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove an application: it signs nobody in any more, and what it was given opens nothing."""
    call = current()
    known = find_client(call.wiring, name)
    if not yes:
        click.confirm(f"Remove the application {clean(known.name)}?", abort=True, err=True)
    remove_client(call.wiring, known, call.actor)
    call.output.say(f"The application '{clean(known.name)}' is removed.", {"client_id": known.client_id})


@client.command("rotate-key")
@click.option(
    "--compromised",
    is_flag=True,
    help="Withdraw the present keys at once: what they have signed is good no more.",
)
def rotate_key(compromised: bool) -> None:
    """Let the next key sign ID tokens. The service does it by itself every 90 days.

    What the former key has signed stays good; both are published meanwhile, and the one that comes after.
    """
    call = current()
    key = signing_keys(call.wiring, call.actor).rotate(is_compromised=compromised)
    call.output.say(f"The key {key.key_id} signs from now on.", {"key_id": key.key_id})


def _kind(known: StoredClient) -> str:
    return "public" if known.secret_sha256 is None else "confidential"


def _document(known: StoredClient) -> dict[str, object]:
    return {
        "name": known.name,
        "client_id": known.client_id,
        "environment": known.environment_id,
        "kind": _kind(known),
        "redirect_uris": list(known.redirect_uris),
        "logout_uris": list(known.logout_uris),
        "backchannel_logout_uri": known.backchannel_logout_uri or None,
        "created_at": known.created_at,
    }
