"""Puts the OpenID Provider into the application: settings, stores, sessions and keys to what it takes."""

import os
import time
from datetime import timedelta

from flask import Blueprint

from api.authorization import Authorization
from api.endpoints import Limits, Provider, make_blueprint
from api.logout import LeadToProvider, Logout
from api.people import People
from api.server import Parts, RandomBytes, Server
from audit.actors import LoginActor
from directory.ids import EnvironmentId, OrganisationId
from directory.sso_changes import EndSession
from provisioning.logins import StoredSession
from service.administration import Administration
from service.client_addresses import address_finder
from service.clients import signing_keys
from service.wiring import Wiring
from web.cookies import Cookies
from web.limits import RateLimit, Timer
from web.sessions import Sessions

# One address is often a host application with all its people behind it.
_REQUESTS_PER_SECOND = 100
_REQUESTS_AT_ONCE = 500
_FAILURES_PER_SECOND = 1
_FAILURES_AT_ONCE = 60


def oidc_blueprint(
    wiring: Wiring,
    *,
    lead_to_provider: LeadToProvider,
    random: RandomBytes = os.urandom,
    timer: Timer = time.monotonic,
) -> Blueprint:
    """The routes of the OpenID Provider over the wiring's stores."""
    settings, clock = wiring.settings, wiring.clock
    cookies = Cookies(settings.base_url)
    idle = timedelta(minutes=settings.session_idle_minutes)
    sessions = Sessions(wiring.logins, cookies, clock=clock, idle=idle)
    keys = signing_keys(wiring)
    people = People(wiring.unit_of_work, wiring.logins, wiring.models, sessions.is_live)
    parts = Parts(
        issuer=settings.base_url, clients=wiring.clients, keys=keys, people=people, clock=clock, random=random
    )
    provider = Provider(
        parts=parts,
        authorization=Authorization(Server(parts), lambda wanted: _environment_of(wiring, wanted)),
        logout=Logout(
            issuer=settings.base_url,
            clients=wiring.clients,
            keys=keys,
            clock=clock,
            open_organisation=wiring.unit_of_work,
            end_session=lambda session: _end(wiring, session),
            lead_to_provider=lead_to_provider,
        ),
        load_session=sessions.load_session,
        limits=Limits(
            requests=RateLimit(rate=_REQUESTS_PER_SECOND, burst=_REQUESTS_AT_ONCE, timer=timer),
            failures=RateLimit(rate=_FAILURES_PER_SECOND, burst=_FAILURES_AT_ONCE, timer=timer),
        ),
        find_address=address_finder(wiring),
    )
    return make_blueprint(provider)


def _environment_of(wiring: Wiring, organisation_id: OrganisationId) -> EnvironmentId:
    with wiring.unit_of_work(organisation_id).read() as reader:
        return reader.organisation().environment_id


def _end(wiring: Wiring, session: StoredSession) -> None:
    """End the session as whoever signed in; one that has ended meanwhile stays as it is."""
    actor = LoginActor(session.login_id)
    administration = Administration(wiring, session.organisation_id, actor, "sso_assertion")
    administration.apply([EndSession(session.session_id, "logout")])
