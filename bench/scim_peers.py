"""Other SCIM servers, installed into a throw-away folder where that can be done, and given the same to do.

`scim2-server`: the command of that name, its own demo, and once more its application served as ours is; both with
the storage in memory that comes with it. `scimmy-routers`: under Express, resources in a Map. None of them writes
anything to a disk or keeps a log.
"""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.scim_client import Connection, make_request
from bench.scim_place import group_body, marker, user_body
from bench.scim_servers import Server, free_port, serve_wsgi, start

SCIM2_SERVER = "scim2_server"
TOKEN = "bench"  # noqa: S105 - opens what is thrown away
BASE = "/v2"
USERS = 300
_INSTALL_SECONDS = 300
_SCIM2_SERVER = "scim2-server==0.8.3"
_SCIMMY = ("scimmy@1.3.5", "scimmy-routers@1.3.2", "express@5")
_SCIM2_APP = f'''
from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider

application = BearerTokenApplication(InMemoryStorage(), load_default_provider(), bearer_tokens=["{TOKEN}"])


def app(environ, start_response):
    # Without a length it would ask granian for a negative number of bytes.
    environ.setdefault("CONTENT_LENGTH", "0")
    return application(environ, start_response)
'''


@dataclass(slots=True)
class Peer:
    """A server with users and groups in it. `users` by number; `groups` by size.

    One that is not firm is there for orientation.
    """

    name: str
    server: Server
    is_firm: bool
    users: list[str] = field(default_factory=list)
    groups: dict[int, str] = field(default_factory=dict)


@contextlib.contextmanager
def peers(folder: Path, *, group_sizes: Sequence[int]) -> Iterator[list[Peer]]:
    """The peers that can be had here. One that cannot is named on stderr and left out."""
    makers: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
        SCIM2_SERVER: _serve_scim2_demo,
        "scimmy_routers": _serve_scimmy,
        "scim2_granian": _serve_scim2_granian,
    }
    with contextlib.ExitStack() as stack:
        found = []
        for name, serve in makers.items():
            place = folder / name
            place.mkdir()
            try:
                server = stack.enter_context(serve(place))
            except (OSError, subprocess.SubprocessError) as err:
                why = err.stderr if isinstance(err, subprocess.CalledProcessError) else str(err)
                print(f"{name} is left out, it cannot be installed here: {why[-300:]}", file=sys.stderr)
                continue
            peer = Peer(name, server, is_firm=serve is not _serve_scim2_granian)
            _fill(peer, group_sizes)
            found.append(peer)
        yield found


def _fill(peer: Peer, group_sizes: Sequence[int]) -> None:
    with Connection(peer.server.port) as connection:

        def create(path: str, body: object) -> str:
            answer = connection.ask(make_request("POST", BASE + path, token=TOKEN, body=body).encode())
            assert answer.status == 201, (peer.name, answer)
            created: str = answer.document()["id"]
            return created

        peer.users = [create("/Users", user_body(marker(number))) for number in range(USERS)]
        for size in group_sizes:
            # Neither looks whether its members are there.
            members = [f"00000000-0000-7000-8000-{marker(number)}" for number in range(size)]
            peer.groups[size] = create("/Groups", group_body(f"group of {size}", members))


def _install_scim2_server(folder: Path) -> Path:
    """The folder of the commands of an environment that has it."""
    _install([sys.executable, "-m", "venv", "env"], folder)
    commands = folder / "env" / "bin"
    _install([str(commands / "python"), "-m", "pip", "install", "--quiet", _SCIM2_SERVER, "granian"], folder)
    return commands


@contextlib.contextmanager
def _serve_scim2_demo(folder: Path) -> Iterator[Server]:
    port = free_port()
    command = [
        str(_install_scim2_server(folder) / "scim2-server"),
        "--port",
        str(port),
        "--bearer-token",
        TOKEN,
    ]
    with start(command, {}, folder / "server.log", port=port, health=f"{BASE}/Users") as server:
        yield server


@contextlib.contextmanager
def _serve_scim2_granian(folder: Path) -> Iterator[Server]:
    python = str(_install_scim2_server(folder) / "python")
    (folder / "scim2_app.py").write_text(_SCIM2_APP, encoding="utf-8")
    environ = {"PYTHONPATH": str(folder)}
    with serve_wsgi(
        "scim2_app:app", environ, folder / "server.log", python=python, health=f"{BASE}/Users"
    ) as server:
        yield server


@contextlib.contextmanager
def _serve_scimmy(folder: Path) -> Iterator[Server]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise FileNotFoundError("there is no node or no npm")
    _install([npm, "install", "--silent", "--no-audit", "--no-fund", *_SCIMMY], folder)
    script = folder / "scim_peers.mjs"
    shutil.copy(Path(__file__).with_suffix(".mjs"), script)
    port = free_port()
    command = [node, str(script), str(port), TOKEN]
    environ = {"NODE_ENV": "production"}
    with start(command, environ, folder / "server.log", port=port, health=f"{BASE}/Users") as server:
        yield server


def _install(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
