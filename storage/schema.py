"""What every table is made of. The tables themselves are in `storage.tables` and `storage.sso_tables`."""

from sqlalchemy import Column, ForeignKey, Index, MetaData, text

from storage.types import Id

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def organisation_column() -> Column[str]:
    """The organisation that a row belongs to."""
    return Column("organisation_id", Id, ForeignKey("organisation.id"), nullable=False)


def partial_index(
    name: str, *columns: str, where: str, sqlite_where: str = "", unique: bool = False
) -> Index:
    """An index of the rows that `where` says. SQLite wants it word for word as a statement says it."""
    return Index(
        name,
        *columns,
        unique=unique,
        sqlite_where=text(sqlite_where or where),
        postgresql_where=text(where),
    )
