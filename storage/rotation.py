"""Sealing anew what older keys have sealed, so that those can be dropped.

Knows every column that holds a value sealed by the key ring. A value goes from the old key to the current one by a
statement that changes it only if it is still what was read, so that whoever writes meanwhile is never undone, and a
rotation that was cut off is simply begun again.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Integer,
    LargeBinary,
    Select,
    String,
    Update,
    bindparam,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.engine import Connection

from storage.engine import Database
from storage.errors import SealError
from storage.log import pii_place
from storage.sealed_places import host_webhook_place, login_test_place, signing_key_place, sp_key_place
from storage.secret_store import secret_place
from storage.secrets import sealing_key
from storage.sso_tables import login_test, signing_key, sp_key
from storage.stream_tables import host_webhook
from storage.tables import audit_pii, secret
from storage.types import Id
from storage.view import Row

BATCH_SIZE: Final = 500

_FIRST = "00000000-0000-0000-0000-000000000000"
_LOCK = "LOCK TABLE secret, audit_pii, sp_key, login_test, signing_key, host_webhook IN SHARE MODE"


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A column of sealed values. Its rows are organisation, a row's key of one or two columns, and the value.

    `page` gives those behind `after_...`; `change` moves one from `old` to `new`.
    """

    table: str
    every: Select[Any]
    page: Select[Any]
    change: Update
    first: dict[str, str]
    place: Callable[[Row], bytes]


_ROWS = bindparam("row_limit", type_=Integer)
_OLD, _NEW = bindparam("old", type_=LargeBinary), bindparam("new", type_=LargeBinary)
_SECRETS, _NAMES = secret.c, audit_pii.c
_KEYS, _TESTS, _SIGNING = sp_key.c, login_test.c, signing_key.c
_WEBHOOKS = host_webhook.c

_COLUMNS: Final = (
    _Sealed(
        table="secret",
        every=select(_SECRETS.sealed),
        page=select(_SECRETS.organisation_id, _SECRETS.holder, _SECRETS.name, _SECRETS.sealed)
        .where(
            tuple_(_SECRETS.holder, _SECRETS.name)
            > tuple_(bindparam("after_0", type_=Id), bindparam("after_1", type_=String))
        )
        .order_by(_SECRETS.holder, _SECRETS.name)
        .limit(_ROWS),
        change=update(secret)
        .values(sealed=_NEW)
        .where(
            _SECRETS.holder == bindparam("at_0", type_=Id),
            _SECRETS.name == bindparam("at_1", type_=String),
            _SECRETS.sealed == _OLD,
        ),
        first={"after_0": _FIRST, "after_1": ""},
        place=lambda row: secret_place(row[0], row[1], row[2]),
    ),
    _Sealed(
        table="audit_pii",
        every=select(_NAMES.key),
        page=select(_NAMES.organisation_id, _NAMES.ref, _NAMES.key)
        .where(_NAMES.ref > bindparam("after_0", type_=Id))
        .order_by(_NAMES.ref)
        .limit(_ROWS),
        change=update(audit_pii)
        .values(key=_NEW)
        .where(_NAMES.ref == bindparam("at_0", type_=Id), _NAMES.key == _OLD),
        first={"after_0": _FIRST},
        place=lambda row: pii_place(row[0], row[1], "key"),
    ),
    _Sealed(
        table="sp_key",
        every=select(_KEYS.private_key).where(_KEYS.private_key.is_not(None)),
        page=select(_KEYS.organisation_id, _KEYS.connection_id, _KEYS.key_id, _KEYS.private_key)
        .where(
            _KEYS.private_key.is_not(None),
            tuple_(_KEYS.connection_id, _KEYS.key_id)
            > tuple_(bindparam("after_0", type_=Id), bindparam("after_1", type_=String)),
        )
        .order_by(_KEYS.connection_id, _KEYS.key_id)
        .limit(_ROWS),
        change=update(sp_key)
        .values(private_key=_NEW)
        .where(
            _KEYS.connection_id == bindparam("at_0", type_=Id),
            _KEYS.key_id == bindparam("at_1", type_=String),
            _KEYS.private_key == _OLD,
        ),
        first={"after_0": _FIRST, "after_1": ""},
        place=lambda row: sp_key_place(row[0], row[1], row[2]),
    ),
    _Sealed(
        table="login_test",
        every=select(_TESTS.result).where(_TESTS.result.is_not(None)),
        page=select(_TESTS.organisation_id, _TESTS.id, _TESTS.result)
        .where(_TESTS.result.is_not(None), _TESTS.id > bindparam("after_0", type_=String))
        .order_by(_TESTS.id)
        .limit(_ROWS),
        change=update(login_test)
        .values(result=_NEW)
        .where(_TESTS.id == bindparam("at_0", type_=String), _TESTS.result == _OLD),
        first={"after_0": ""},
        place=lambda row: login_test_place(row[0], row[1]),
    ),
    _Sealed(
        table="signing_key",
        every=select(_SIGNING.private_jwk),
        page=select(literal_column("''"), _SIGNING.id, _SIGNING.private_jwk)
        .where(_SIGNING.id > bindparam("after_0", type_=String))
        .order_by(_SIGNING.id)
        .limit(_ROWS),
        change=update(signing_key)
        .values(private_jwk=_NEW)
        .where(_SIGNING.id == bindparam("at_0", type_=String), _SIGNING.private_jwk == _OLD),
        first={"after_0": ""},
        place=lambda row: signing_key_place(row[1]),
    ),
    _Sealed(
        table="host_webhook",
        every=select(_WEBHOOKS.secrets).where(_WEBHOOKS.secrets.is_not(None)),
        page=select(literal_column("''"), _WEBHOOKS.id, _WEBHOOKS.secrets)
        .where(_WEBHOOKS.secrets.is_not(None), _WEBHOOKS.id > bindparam("after_0", type_=Id))
        .order_by(_WEBHOOKS.id)
        .limit(_ROWS),
        change=update(host_webhook)
        .values(secrets=_NEW)
        .where(_WEBHOOKS.id == bindparam("at_0", type_=Id), _WEBHOOKS.secrets == _OLD),
        first={"after_0": _FIRST},
        place=lambda row: host_webhook_place(row[1]),
    ),
)


@dataclass(frozen=True, slots=True)
class BrokenValue:
    """A value that does not open, and so stays as it is."""

    table: str
    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many values are sealed anew, and which could not be."""

    values: int
    broken: tuple[BrokenValue, ...]


def count_keys(database: Database) -> Counter[str]:
    """How many values each key has sealed, by the key's id."""
    with database.read() as connection, database.passing_through(connection):
        return _count(connection)


@contextlib.contextmanager
def hold_sealed(database: Database) -> Iterator[Counter[str]]:
    """The same, and until the block is left nobody stores another value."""
    with database.write() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql(_LOCK)
        yield _count(connection)


def reseal(
    database: Database,
    *,
    batch_size: int = BATCH_SIZE,
    after_batch: Callable[[int], None] = lambda _values: None,
) -> Resealed:
    """Seal by the current key whatever another has sealed, in a transaction for each batch.

    `after_batch` is told how many are done so far. What it raises ends the rotation, and the next goes on from there.
    """
    done, broken = 0, list[BrokenValue]()
    for column in _COLUMNS:
        after = column.first
        while True:
            with database.write() as connection:
                rows = connection.execute(column.page, {**after, "row_limit": batch_size}).all()
                done += _reseal_rows(database, connection, column, [tuple(row) for row in rows], broken)
            after_batch(done)
            if len(rows) < batch_size:
                break
            after = {f"after_{place}": part for place, part in enumerate(rows[-1][1:-1])}
    return Resealed(done, tuple(broken))


def _reseal_rows(
    database: Database, connection: Connection, column: _Sealed, rows: list[Row], broken: list[BrokenValue]
) -> int:
    ring, changes = database.key_ring, list[dict[str, object]]()
    for row in rows:
        sealed, place = bytes(row[-1]), column.place(row)
        if ring.is_current(sealed):
            continue
        key = row[1:-1]
        try:
            clear = ring.open(sealed, place)
        except SealError as error:
            broken.append(BrokenValue(column.table, "/".join(key), str(error)))
            continue
        at = {f"at_{number}": part for number, part in enumerate(key)}
        changes.append({**at, "old": sealed, "new": ring.seal(clear, place)})
    if changes:
        connection.execute(column.change, changes)
    return len(changes)


def _count(connection: Connection) -> Counter[str]:
    found: Counter[str] = Counter()
    for column in _COLUMNS:
        rows = connection.execute(column.every, execution_options={"yield_per": 10 * BATCH_SIZE})
        found.update(sealing_key(bytes(sealed)) for (sealed,) in rows)
    return found
