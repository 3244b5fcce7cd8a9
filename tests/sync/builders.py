"""Makes exports and readings of them for the tests of `sync`."""

import io
from datetime import UTC, datetime
from typing import Final

from directory.ids import ExternalId
from sync.dialects import make_dialect
from sync.dialects.dialect import Dialect, DialectSettings
from sync.entries import RawEntry
from sync.ldif_reader import LDIFLimits, Readable, read_ldif
from sync.ldif_source import LDIFSource
from sync.snapshot import Snapshot, SnapshotSettings

NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Text:
    """A source of the text given; `doubted` and `vouched` stand for what a file would say of itself."""

    def __init__(self, content: str | bytes, *, doubted: str | None = None, vouched: bool = False) -> None:
        self.stream: Readable = io.BytesIO(content if isinstance(content, bytes) else content.encode())
        self._doubted = doubted
        self._vouched = vouched

    def doubt(self, *, checksum_required: bool) -> str | None:
        return self._doubted

    def is_vouched(self) -> bool:
        return self._vouched


def uuid(number: int) -> str:
    """An entryUUID."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def eid(number: int) -> ExternalId:
    return ExternalId(uuid(number))


def person(number: int, uid: str = "", **values: str) -> str:
    """An entry of a person, with its empty line. `dn`, `entryUUID` and others may be set."""
    uid = uid or f"u{number}"
    fields = {"entryUUID": uuid(number), **values}
    dn = fields.pop("dn", f"uid={uid},ou=people,o=x")
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"dn: {dn}\nobjectClass: inetOrgPerson\nuid: {uid}\n{lines}\n"


def group(number: int, name: str, *members: str, **values: str) -> str:
    """An entry of a group; members are DNs, or the uids of people of `person`."""
    fields = {"entryUUID": uuid(number), "objectClass": "groupOfNames", **values}
    dns = [member if "=" in member else f"uid={member},ou=people,o=x" for member in members]
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items()) + "".join(
        f"member: {dn}\n" for dn in dns
    )
    return f"dn: cn={name},ou=groups,o=x\ncn: {name}\n{lines}\n"


def dialect(
    name: str = "openldap", settings: DialectSettings | None = None, *, now: datetime = NOW
) -> Dialect:
    return make_dialect(name, settings, now=now)


def entry(text: str) -> RawEntry:
    """The one entry that the text holds."""
    (read,) = read_ldif(io.BytesIO(text.encode()))
    assert isinstance(read, RawEntry), read
    return read


def snapshot(
    content: str | bytes | Text,
    *,
    settings: SnapshotSettings | None = None,
    read_by: Dialect | None = None,
    limits: LDIFLimits | None = None,
) -> Snapshot:
    source = LDIFSource(content if isinstance(content, Text) else Text(content), limits=limits)
    return Snapshot(source, dialect=read_by or dialect(), settings=settings)
