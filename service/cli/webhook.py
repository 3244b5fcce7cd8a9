"""`usher webhook`: host applications that are told what changes in all organisations of their environment."""

import click

from provisioning.host_webhooks import HOST_EVENTS, HostProgress, HostWebhook
from provisioning.stream_settings import shown_destination
from provisioning.streaming import ACTIVE, BACKING_OFF
from service.cli import exits
from service.cli.frame import Invocation, UsherGroup, current
from service.cli.output import clean
from service.errors import InputError
from service.host_webhooks import HostWebhooks, NewHostWebhook
from streams.outcomes import Verdict

_SHOWN_LANES = 20
_EVENTS = click.option(
    "--events",
    default="",
    metavar="GROUPS",
    help=f"What is told, with commas: {', '.join(HOST_EVENTS)}. Without it all of them.",
)


@click.group(cls=UsherGroup)
def webhook() -> None:
    """Webhooks to host applications: what changes for people, in every organisation of an environment."""


@webhook.command()
@click.argument("name")
@click.option("--environment", required=True, metavar="ID", help="The environment that it is told about.")
@click.option("--url", required=True, help="Where messages are posted to: https://...")
@_EVENTS
@click.option(
    "--from-start", is_flag=True, help="Begin at each organisation's first event, not at what comes next."
)
def add(name: str, environment: str, url: str, events: str, from_start: bool) -> None:
    """Add a webhook, and show its signing secret and its token, this once."""
    call, webhooks = _work()
    new = NewHostWebhook(name, environment, url, _groups(events) or tuple(HOST_EVENTS), from_start)
    added = webhooks.add(new)
    if call.is_json:
        call.output.document(
            {
                **_document(added.webhook, webhooks.store.progress(added.webhook.webhook_id)),
                "signing_secret": added.signing_secret,
                "token": added.token,
            }
        )
        return
    line = call.output.line
    line(f"The webhook {clean(added.webhook.name)} is added. What the host is configured with:")
    line(f"  signing secret  {added.signing_secret}")
    line(f"  token           {added.token}")
    line("Both are shown this once. By the token the host catches up: GET /host/v1/events.")


@webhook.command("list")
def list_() -> None:
    """List the webhooks with how far behind they are."""
    call, webhooks = _work()
    rows = [_document(one, webhooks.store.progress(one.webhook_id)) for one in webhooks.store.webhooks()]
    columns = {
        "name": "Name",
        "environment": "Environment",
        "destination": "Destination",
        "state": "State",
        "organisations": "Organisations",
        "behind": "Behind",
        "lag_events": "Waiting",
        "lag_since": "Since",
        "trouble": "Trouble",
    }
    call.output.listing(rows, columns, empty="There is no webhook yet; add one with 'usher webhook add'.")


@webhook.command()
@click.argument("name")
def show(name: str) -> None:
    """Show one webhook, and the organisations that it is furthest behind with."""
    call, webhooks = _work()
    found = webhooks.find(name)
    lanes = webhooks.store.furthest_behind(found.webhook_id, _SHOWN_LANES)
    document = _document(found, webhooks.store.progress(found.webhook_id)) | {
        "secrets": [f"{key} (...{value})" for key, value in sorted(found.fingerprints.items())],
        "furthest_behind": [
            f"{one.organisation_id}: acknowledged {one.position}{', ' if one.trouble else ''}{one.trouble}"
            for one in lanes
        ],
    }
    headings = {
        "id": "Id",
        "name": "Name",
        "environment": "Environment",
        "destination": "Destination",
        "events": "Events",
        "state": "State",
        "trouble": "Trouble",
        "organisations": "Organisations",
        "behind": "Behind",
        "lag_events": "Waiting",
        "lag_since": "Since",
        "secrets": "Secrets",
        "furthest_behind": "Furthest behind",
    }
    call.output.record(document, headings)


@webhook.command("set")
@click.argument("name")
@click.option("--url", default="", help="Where messages are posted to: https://...")
@_EVENTS
def set_(name: str, url: str, events: str) -> None:
    """Change the address or what is told; what is not named stays."""
    call, webhooks = _work()
    changed = webhooks.change(webhooks.find(name), url=url, events=_groups(events))
    call.output.say(f"The webhook {clean(changed.name)} is changed.", {"id": changed.webhook_id})


@webhook.command("rotate-secret")
@click.argument("name")
@click.option("--finish", is_flag=True, help="The host has learnt the new secret: sign by it alone.")
def rotate_secret(name: str, finish: bool) -> None:
    """Make a new signing secret, and show it this once; the one before signs too until --finish."""
    call, webhooks = _work()
    found = webhooks.find(name)
    if finish:
        webhooks.forget_former_secret(found)
        call.output.say(
            f"The webhook {clean(found.name)} signs by its new secret alone.", {"id": found.webhook_id}
        )
        return
    secret = webhooks.rotate_secret(found)
    call.output.say(
        f"The new signing secret, which is not shown again: {secret}",
        {"id": found.webhook_id, "signing_secret": secret},
    )


@webhook.command()
@click.argument("name")
def test(name: str) -> None:
    """Send a message that is a test, and say what came back."""
    call, webhooks = _work()
    found = webhooks.find(name)
    outcome = webhooks.probe(found)
    document = {"id": found.webhook_id, "verdict": outcome.verdict.value, "answer": outcome.text}
    call.output.say(f"{_destination(found)}: {outcome.text}.", document)
    if outcome.verdict is not Verdict.TAKEN:
        raise click.exceptions.Exit(exits.OUTSIDE)


@webhook.command()
@click.argument("name")
def pause(name: str) -> None:
    """Send nothing until the webhook is resumed; events wait in the log as long as that keeps them."""
    call, webhooks = _work()
    found = webhooks.find(name)
    webhooks.pause(found)
    call.output.say(f"The webhook {clean(found.name)} is paused.", {"id": found.webhook_id})


@webhook.command()
@click.argument("name")
def resume(name: str) -> None:
    """Go on at once, behind a pause or an error."""
    call, webhooks = _work()
    found = webhooks.find(name)
    webhooks.resume(found)
    call.output.say(f"The webhook {clean(found.name)} goes on.", {"id": found.webhook_id})


@webhook.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Send nothing any more, and destroy the webhook's secrets."""
    call, webhooks = _work()
    found = webhooks.find(name)
    if not yes:
        click.confirm(f"Remove the webhook {clean(found.name)}?", abort=True, err=True)
    webhooks.remove(found)
    call.output.say(f"The webhook {clean(found.name)} is removed.", {"id": found.webhook_id})


def _work() -> tuple[Invocation, HostWebhooks]:
    call = current()
    return call, HostWebhooks(call.wiring, call.actor)


def _groups(events: str) -> tuple[str, ...]:
    groups = tuple(part.strip() for part in events.split(",") if part.strip())
    if unknown := [group for group in groups if group not in HOST_EVENTS]:
        raise InputError([f"there are no events '{unknown[0][:40]}'; name some of {', '.join(HOST_EVENTS)}"])
    return groups


def _destination(one: HostWebhook) -> str:
    return shown_destination("webhook", {"url": one.url})


def _document(one: HostWebhook, progress: HostProgress) -> dict[str, object]:
    return {
        "id": one.webhook_id,
        "name": one.name,
        "environment": one.environment_id,
        "destination": _destination(one),
        "events": list(one.events),
        "state": BACKING_OFF if one.state == ACTIVE and progress.attempts else one.state,
        "trouble": one.reason or progress.trouble,
        "organisations": progress.organisations,
        "behind": progress.behind,
        "lag_events": progress.lag_events,
        "lag_since": progress.since,
    }
