"""Runs migrations on the connection that `storage.migrate` gives, inside its transaction."""

from alembic import context
from sqlalchemy import Text

from storage.audit_tables import metadata

_JOB_TABLES = "procrastinate_"

connection = context.config.attributes["connection"]


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Leave out of comparisons what is not ours: the tables of the job library."""
    return not (kind == "table" and name is not None and name.startswith(_JOB_TABLES))


def include_object(_item: object, name: str | None, kind: str, is_reflected: bool, _other: object) -> bool:
    """Leave out of comparisons what only PostgreSQL has: the transaction that wrote an event, and its index."""
    return not (is_reflected and (kind, name) in {("column", "xid"), ("index", "ix_audit_event_xid")})


if connection.dialect.name == "postgresql":
    # SQLAlchemy warns of types that it has no name for.
    connection.dialect.ischema_names = {**connection.dialect.ischema_names, "xid8": Text}

context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite changes a column by making the table anew.
    render_as_batch=True,
    compare_type=True,
    include_name=include_name,
    include_object=include_object,
)
with context.begin_transaction():
    context.run_migrations()
