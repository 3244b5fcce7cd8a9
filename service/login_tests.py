"""Test logins as an administrator begins them: a link that is good for an hour; who has it sees the result."""

import os
from urllib.parse import urlsplit

from audit.actors import AdminActor
from provisioning.logins import LoginTest, StoredConnection
from saml.login_tests import TEST_LIFE, read_report
from service.administration import Administration
from service.errors import InputError, NotFoundError
from web.cookies import TOKEN_OCTETS, make_value
from web.pages import LoginReport
from web.sessions import digest_token


def begin_test(administration: Administration, connection: StoredConnection) -> str:
    """Begin a test login of the administrator over the connection; the link to open in a browser, told this once.

    Only who has passed a test may make the connection obligatory, so an administrator begins it.
    Raises: InputError, while the identity provider's metadata is missing.
    """
    if not isinstance(administration.actor, AdminActor):
        raise InputError(["a test login is begun by an administrator or the operator"])
    if not connection.read.sso_url:
        raise InputError(
            [
                f"connection '{connection.name}' has no metadata of the identity provider yet; "
                "take it with 'usher connection metadata'"
            ]
        )
    wiring = administration.wiring
    now, test_id, key = wiring.clock(), wiring.mint.id(), make_value(os.urandom(TOKEN_OCTETS))
    wiring.logins.put_login_test(
        LoginTest(
            test_id=test_id,
            organisation_id=administration.organisation_id,
            connection_id=connection.connection_id,
            actor=administration.actor.admin_id,
            secret_sha256=digest_token(key),
            created_at=now,
            expires_at=now + TEST_LIFE,
        )
    )
    return f"{wiring.settings.base_url}/saml/test/{test_id}?key={key}"


def test_id_of(link: str) -> str:
    """The id in a test's link; an id is one by itself."""
    return urlsplit(link).path.rpartition("/")[2]


def find_report(administration: Administration, test_id: str) -> LoginReport | None:
    """How a test ended that the same administrator has begun; None while it has not. Raises: NotFoundError"""
    test = administration.wiring.logins.login_test(test_id)
    if (
        test is None
        or not isinstance(administration.actor, AdminActor)
        or (test.organisation_id, test.actor)
        != (administration.organisation_id, administration.actor.admin_id)
        or test.expires_at <= administration.wiring.clock()
    ):
        raise NotFoundError(
            f"there is no test '{test_id[:100]}' of yours; its result is kept for an hour. "
            "Begin another with 'usher connection test'"
        )
    return None if test.result is None else read_report(test.result)
