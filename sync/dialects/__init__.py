"""Kinds of directory servers: what their entries mean. One module each; `make_dialect` picks by name."""

from datetime import datetime
from types import MappingProxyType
from typing import Final

from sync.dialects.active_directory import ACTIVE_DIRECTORY
from sync.dialects.dialect import Dialect, DialectSettings, Moment
from sync.dialects.ds389 import DS389
from sync.dialects.generic import GENERIC
from sync.dialects.openldap import OPENLDAP
from sync.dialects.schema import SchemaDialect
from sync.errors import DialectError

_SCHEMAS: Final = MappingProxyType(
    {schema.name: schema for schema in (OPENLDAP, ACTIVE_DIRECTORY, DS389, GENERIC)}
)

DIALECTS: Final = tuple(_SCHEMAS)


def make_dialect(name: str, settings: DialectSettings | None = None, *, now: datetime) -> Dialect:
    """The dialect `name` for one reading at `now`, which must know its time zone.

    Raises: DialectError for an unknown name and for settings that name no usable attribute.
    """
    schema = _SCHEMAS.get(name)
    if schema is None:
        raise DialectError(f"'{name}' is no dialect; choose one of {', '.join(DIALECTS)}")
    return SchemaDialect(schema, settings or DialectSettings(), Moment.at(now))
