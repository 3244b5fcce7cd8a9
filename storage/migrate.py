"""Brings a database to the form that this release needs, and refuses one that it cannot use.

Migrations are in `storage/migrations/versions`, one line of them, without a way back: restore a backup instead.
`pre_` in a file's name says that it runs before the new code is rolled out, `post_` after.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from storage.engine import Database
from storage.errors import NewerDatabaseError, OutdatedDatabaseError


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for one connection; its commands work inside the connection's transaction."""
    config = Config()
    # A percent sign would be read as a reference to another option.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database) -> None:
    """Make or upgrade every table, in one transaction. Of several processes one upgrades, the others wait.

    Raises NewerDatabaseError when a newer release has upgraded it already.
    """
    with database.migrate() as connection:
        config = migration_config(connection)
        if (
            _find_version(config, connection, database.address)
            != ScriptDirectory.from_config(config).get_current_head()
        ):
            command.upgrade(config, "head")


def check_version(database: Database) -> None:
    """Refuse a database of another release. Raises NewerDatabaseError or OutdatedDatabaseError."""
    with database.read() as connection:
        config = migration_config(connection)
        version = _find_version(config, connection, database.address)
        head = ScriptDirectory.from_config(config).get_current_head()
    if version is None:
        raise OutdatedDatabaseError(
            f"the database {database.address} has no tables of Usher's yet; run 'usher db upgrade' first"
        )
    if version != head:
        raise OutdatedDatabaseError(
            f"the database {database.address} is of an older release (version {version}, this one needs {head}); "
            "back it up, then run 'usher db upgrade'"
        )


def _find_version(config: Config, connection: Connection, address: str) -> str | None:
    version = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise NewerDatabaseError(
            f"the database {address} was upgraded by a newer release (version {version}); use that release, "
            "or restore the backup made before the upgrade"
        )
    return version
