"""Host applications as the operator handles them, and the keys that sign for them. A secret is shown once."""

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from api.keys import SigningKeys
from api.redirects import find_address_fault
from audit.actors import Actor, SystemActor
from audit.events import Cause, Event, FieldChange, JSONValue, Outcome, Target
from audit.render import render_event
from directory.facts import find_fault, name_key
from directory.ids import ClientId, EnvironmentId, EventId, OrganisationId
from provisioning.clients import SigningKey, StoredClient
from provisioning.state import EventRow
from service.errors import AmbiguousNameError, InputError, NotFoundError
from service.wiring import Wiring

SECRET_PREFIX = "usher_client_"  # noqa: S105 - what a secret begins with
MOST_ADDRESSES = 50
_LONGEST_NAME = 200
_SECRET_OCTETS = 32


@dataclass(frozen=True, slots=True)
class NewClient:
    """What an operator says of a host application. A public one has no secret: nobody could keep it there."""

    name: str
    environment: str
    redirect_uris: Sequence[str]
    logout_uris: Sequence[str] = ()
    backchannel_logout_uri: str = ""
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A new registration. `secret` is what the application gets, empty for a public one; nobody can show it again."""

    client: StoredClient
    secret: str = field(repr=False)


def register_client(wiring: Wiring, new: NewClient, actor: Actor) -> RegisteredClient:
    """Register a host application. Raises: InputError with every fault; NotFoundError for the environment."""
    environment = wiring.store.environment(EnvironmentId(new.environment))
    if environment is None:
        raise NotFoundError(f"there is no environment '{new.environment}'; see 'usher environment list'")
    faults = list(_faults(wiring, new))
    if faults:
        raise InputError(faults)
    secret = "" if new.is_public else SECRET_PREFIX + _random_text()
    client = StoredClient(
        client_id=ClientId(wiring.mint.id()),
        environment_id=environment.environment_id,
        name=new.name.strip(),
        secret_sha256=hashlib.sha256(secret.encode()).digest() if secret else None,
        redirect_uris=tuple(dict.fromkeys(new.redirect_uris)),
        logout_uris=tuple(dict.fromkeys(new.logout_uris)),
        backchannel_logout_uri=new.backchannel_logout_uri,
        created_at=wiring.clock(),
    )
    wiring.clients.put_client(client)
    values = {**_described(client), "redirect_uris": client.redirect_uris}
    _record(wiring, actor, "client.created", Target("client", client.client_id), values)
    return RegisteredClient(client, secret)


def remove_client(wiring: Wiring, client: StoredClient, actor: Actor) -> None:
    """Let the application sign nobody in any more; what it was given opens nothing from now on."""
    wiring.clients.put_client(replace(client, removed_at=wiring.clock()))
    _record(wiring, actor, "client.deleted", Target("client", client.client_id), _described(client))


def find_client(wiring: Wiring, name: str) -> StoredClient:
    """By id, or by name. Raises NotFoundError, AmbiguousNameError."""
    known = wiring.clients.clients()
    found = [client for client in known if client.client_id == name] or [
        client for client in known if name_key(client.name) == name_key(name)
    ]
    if not found:
        raise NotFoundError(f"there is no application '{name}'; see 'usher client list'")
    if len(found) > 1:
        raise AmbiguousNameError("application", name, [client.client_id for client in found])
    return found[0]


def signing_keys(wiring: Wiring, actor: Actor | None = None) -> SigningKeys:
    """The keys of this service; a change of them is written down as the actor's, or the service's own."""
    who = actor or SystemActor("signing_keys")

    def note(key: SigningKey) -> None:
        _record(
            wiring,
            who,
            "signing_key.rotated",
            Target("signing_key", key.key_id),
            {"key_id": key.key_id, "state": "active"},
        )

    return SigningKeys(wiring.clients, clock=wiring.clock, mint=wiring.mint, note=note)


def _faults(wiring: Wiring, new: NewClient) -> list[str]:
    faults = []
    name = new.name.strip()
    if not name or len(name) > _LONGEST_NAME or find_fault(name):
        faults.append(f"the name must be a text of at most {_LONGEST_NAME} letters")
    elif any(name_key(client.name) == name_key(name) for client in wiring.clients.clients()):
        faults.append(f"there is an application '{name}' already; choose another name")
    if not new.redirect_uris:
        faults.append("give at least one redirect address")
    for what, urls in (("redirect", new.redirect_uris), ("logout", new.logout_uris)):
        if len(urls) > MOST_ADDRESSES:
            faults.append(f"an application has at most {MOST_ADDRESSES} {what} addresses")
        faults.extend(
            f"the {what} address '{url}' {fault}" for url in urls if (fault := find_address_fault(url))
        )
    told = new.backchannel_logout_uri
    fault = find_address_fault(told, may_be_loopback=False) if told else ""
    if fault:
        faults.append(f"the back-channel logout address '{told}' {fault}")
    return faults


def _described(client: StoredClient) -> dict[str, JSONValue]:
    return {
        "name": client.name,
        "client_id": client.client_id,
        "environment": client.environment_id,
    }


def _random_text() -> str:
    return base64.urlsafe_b64encode(os.urandom(_SECRET_OCTETS)).decode().rstrip("=")


def _record(wiring: Wiring, actor: Actor, action: str, target: Target, values: dict[str, JSONValue]) -> None:
    """Write an event of the service itself."""
    now = wiring.clock()
    event = Event(
        id=EventId(wiring.mint.id()),
        organisation=OrganisationId(""),
        time=now,
        salt=wiring.mint.salt(),
        action=action,
        outcome=Outcome.SUCCESS,
        actor=actor,
        targets=(target,),
        cause=Cause("system" if isinstance(actor, SystemActor) else "operator"),
        changes=tuple(FieldChange(path, None, value) for path, value in values.items()),
    )
    wiring.events.append([EventRow(event.id, now, event.action, target.id, render_event(event))])
