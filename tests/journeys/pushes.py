"""An identity provider beside the command line: it pushes to the application over the shell's own database."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.app import REQUEST_LOG, create_app
from tests.journeys.shell import Shell

USER = "urn:ietf:params:scim:schemas:core:2.0:User"


class Provider:
    """Knows a base URL and a token, and nothing else."""

    def __init__(self, client: FlaskClient, base_url: str, token: str) -> None:
        self._client = client
        self._base_url = base_url
        self._token = token

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 - the client's own
    ) -> TestResponse:
        return self._client.open(
            f"{self._base_url}/{path}",
            method=method,
            query_string=query,
            json=body,
            headers={"Authorization": f"Bearer {self._token}", **(headers or {})},
            **options,
        )

    def add_user(self, name: str, **values: object) -> TestResponse:
        return self.ask("POST", "Users", {"schemas": [USER], "userName": name, **values})


@contextmanager
def provider(shell: Shell, base_url: str, token: str) -> Iterator[Provider]:
    """The application, as the service would run it; what was logged is in the database afterwards."""
    with shell.wiring() as wiring:
        app = create_app(wiring)
        path = base_url.removeprefix(wiring.settings.base_url)
        yield Provider(app.test_client(), path, token)
        app.extensions[REQUEST_LOG].flush()


def add_scim(shell: Shell, name: str = "idp", *options: str) -> tuple[str, str]:
    """Add a SCIM directory with a token; its base URL and the token."""
    shell.answer("directory", "add-scim", name, *options)
    issued = shell.json("token", "create", name)
    return issued["base_url"], issued["token"]
