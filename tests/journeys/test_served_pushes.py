"""An identity provider at the service as it is run: over a socket, behind a proxy, on each server."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.journeys.pushes import USER, add_scim
from tests.journeys.shell import Shell
from tests.journeys.test_running import PATIENCE_SECONDS, free_port, running, stop, wait_until_ready

PROXIED = {"X-Forwarded-For": "192.0.2.66, 198.51.100.7"}


@contextmanager
def granian(shell: Shell) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    port = free_port()
    shell.environ["USHER_PORT"] = str(port)
    command = ["-m", "granian", "--interface", "wsgi", "--port", str(port), "--blocking-threads", "2"]
    process = subprocess.Popen(
        [sys.executable, *command, "service.wsgi:app"],
        env=shell.environ,
        cwd=shell.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_ready(port, process)
        yield port, process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)


def ask(
    port: int, path: str, token: str, body: bytes | Iterator[bytes] | None = None, **options: bool
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json", **PROXIED}
    try:
        connection.request("GET" if body is None else "POST", path, body, headers, **options)
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("server", ["waitress", "granian"])
def test_an_identity_provider_behind_a_proxy_is_served_and_logged(blank_shell: Shell, server: str) -> None:
    shell = blank_shell
    shell.set_up()
    shell.environ["USHER_PUBLIC_URL"] = "https://usher.example"
    shell.environ["USHER_TRUSTED_PROXIES"] = "127.0.0.0/8"
    base_url, token = add_scim(shell)
    users = f"{base_url.removeprefix('https://usher.example')}/Users"
    user = json.dumps({"schemas": [USER], "userName": "ada"}).encode()

    with running(shell, "serve") if server == "waitress" else granian(shell) as (port, process):
        made, headers, _ = ask(port, users, token, iter([user[:9], user[9:]]), encode_chunked=True)
        listed, _, body = ask(port, users, token)
        huge, _, _ = ask(port, users, token, (b" " * 65_536 for _ in range(20)), encode_chunked=True)
        if server == "waitress":
            stop(process)

    assert (made, listed, huge) == (201, 200, 413)
    assert headers["location"].startswith(f"{base_url}/Users/")
    assert headers["x-content-type-options"] == "nosniff"
    assert json.loads(body)["totalResults"] == 1
    rows = shell.json("scim", "log")
    assert [(row["status"], row["address"]) for row in rows] == [
        (413, "198.51.100.7"),
        (200, "198.51.100.7"),
        (201, "198.51.100.7"),
    ]
    (used,) = shell.json("token", "list")
    assert used["last_used_from"] == "198.51.100.7"
