"""Rows that are written in place of what is there, or made. Statements are built when their module is loaded."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Insert, Table, Update, bindparam, insert, update

from storage.view import ORGANISATION, View


class Put:
    """One row of the organisation, found by its key. What is not in `columns` is written when it is made only."""

    def __init__(self, table: Table, *, key: Sequence[str], columns: Sequence[str]) -> None:
        self._key = tuple(key)
        self._columns = tuple(columns)
        # Parameters of an update must not be named as columns are.
        self._update: Update = (
            update(table)
            .values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in self._columns})
            .where(
                table.c.organisation_id == ORGANISATION,
                *(table.c[name] == bindparam(f"of_{name}", type_=table.c[name].type) for name in self._key),
            )
        )
        self._insert: Insert = insert(table)

    def __call__(self, view: View, values: Mapping[str, object]) -> None:
        """Write the row. The organisation's lock keeps two from making it at once."""
        named = {f"of_{name}": values[name] for name in self._key}
        named |= {f"new_{name}": values[name] for name in self._columns}
        if not view._run(self._update, **named):
            view._insert(self._insert, **values)
