"""Empty databases to measure on, of each kind."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tests.postgresql import DatabaseFactory, default_binary_folders, enter_session_server, pick_server_user

DATABASES = ("sqlite", "postgresql")


@contextlib.contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database: a file in `folder`, or one on a private PostgreSQL server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    with contextlib.ExitStack() as stack:
        dsn = enter_session_server(
            stack,
            environment=os.environ,
            binary_folders=default_binary_folders(),
            user=pick_server_user(os.geteuid()),
        )
        factory = DatabaseFactory(dsn)
        stack.callback(factory.drop_all)
        yield factory()
