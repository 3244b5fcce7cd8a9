"""Test logins as an administrator begins them: a link that is good for an hour; who has it sees the result."""

import os

from audit.actors import AdminActor
from provisioning.logins import LoginTest, StoredConnection
from saml.login_tests import TEST_LIFE
from service.administration import Administration
from service.errors import InputError
from web.cookies import TOKEN_OCTETS, make_value
from web.sessions import digest_token


def begin_test(administration: Administration, connection: StoredConnection) -> str:
    """Begin a test login of the administrator over the connection; the link to open in a browser, told this once.

    Only who has passed a test may make the connection obligatory, so an administrator begins it.
    Raises: InputError, while the identity provider's metadata is missing.
    """
    if not isinstance(administration.actor, AdminActor):
        raise InputError("a test login is begun by an administrator or the operator")
    if not connection.read.sso_url:
        raise InputError(
            f"connection '{connection.name}' has no metadata of the identity provider yet; "
            "take it with 'usher connection metadata'"
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
