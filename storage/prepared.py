"""Statements that are built when a module is loaded, in the form in which a driver takes them.

SQLAlchemy compiles a statement and says how its values are written, once; from then on it goes to the driver
directly. That is a fifth of the cost of `Connection.execute`, which a request with ten statements feels. A statement
that is built for one call must not come here: preparing costs more than SQLAlchemy's own way.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import ClauseElement, Executable
from sqlalchemy.engine import Connection, Dialect

_Writer = Callable[[Any], Any]


class _Slot(NamedTuple):
    """A value's place. `fixed` is what the statement itself holds there, when the call gives nothing."""

    name: str
    is_given: bool
    writer: _Writer | None
    fixed: Any

    def value(self, given: Mapping[str, object]) -> Any:  # noqa: ANN401 - whatever the driver takes
        if not self.is_given:
            return self.fixed
        value = given[self.name]
        return value if self.writer is None else self.writer(value)


class Prepared:
    """One statement for one dialect: its text, and how the values of a call are written."""

    __slots__ = ("_is_positional", "_slots", "text")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.text: str = compiled.string
        self._is_positional: bool = compiled.positional
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        names: list[str] = compiled.positiontup if compiled.positional else list(binds)
        self._slots = [self._slot(name, binds[name], dialect) for name in names]

    @staticmethod
    def _slot(name: str, bind: Any, dialect: Dialect) -> _Slot:  # noqa: ANN401 - SQLAlchemy's own
        writer = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if bind.required:
            return _Slot(name, True, writer, None)
        value = bind.effective_value
        return _Slot(name, False, None, value if writer is None else writer(value))

    def bind(self, given: Mapping[str, object]) -> list[Any] | dict[str, Any]:
        """The values as the driver takes them. Raises KeyError for one that is not given."""
        if self._is_positional:
            return [slot.value(given) for slot in self._slots]
        return {slot.name: slot.value(given) for slot in self._slots}


class PreparedStatements:
    """What has been prepared for one database, as long as its statement is kept.

    Safe between threads: at worst one is prepared twice. While `is_in_use` is False every statement goes SQLAlchemy's
    own way, whose events tell of each.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.is_in_use = True
        self._dialect = dialect
        self._known: WeakKeyDictionary[Executable, Prepared] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def __getitem__(self, statement: Executable) -> Prepared:
        known = self._known.get(statement)
        if known is None:
            assert isinstance(statement, ClauseElement)  # noqa: S101 - every statement of Core is one
            known = self._known[statement] = Prepared(statement, self._dialect)
        return known

    def execute(self, connection: Connection, statement: Executable, parameters: Mapping[str, object]) -> Any:  # noqa: ANN401 - a driver's cursor
        """Run a statement in the connection's transaction. The driver's cursor is the caller's to close."""
        if not self.is_in_use:
            result = connection.execute(
                statement, dict(parameters), execution_options={"preserve_rowcount": True}
            )
            return result.cursor if result.returns_rows else result
        prepared = self[statement]
        driver: Any = connection.connection.dbapi_connection
        return driver.execute(prepared.text, prepared.bind(parameters))
