"""Exports in the process: one moment of the log, bounded memory, what is told when they are cut off."""

import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import orjson
import pytest

from audit.body import EventBody, parse_body
from audit.bundle import LeafRange
from audit.verifier import COMPLETE_RANGE, INCLUSION, verify_bundle
from directory.ids import EventId
from provisioning.ports import EventQuery
from provisioning.state import EventRow, PersonalData
from service.administration import Administration
from service.errors import FileAccessError, InputError
from service.export_bundles import _clip
from service.export_forms import Tally
from service.log_exports import FORMATS, export_name, save_export, stream_export
from service.log_keys import load_log_keys
from service.sealer import Sealer
from storage import log_export
from storage.event_rows import append_event_rows
from tests.postgresql import DatabaseFactory
from tests.service.worlds import HandClock, small_world

LATEST = EventQuery(limit=1, newest_first=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.pg)])
def acme(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Administration]:
    """A small organisation whose log is sealed."""
    environ = {}
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("postgresql_database")
        assert isinstance(make, DatabaseFactory)
        environ["USHER_DATABASE_URL"] = make()
    with small_world(tmp_path, HandClock(), **environ) as administration:
        seal(administration)
        yield administration


def seal(acme: Administration) -> None:
    sealer = Sealer(acme.wiring)
    sealer.drain()
    sealer.stop()


def latest(acme: Administration) -> EventBody:
    with acme.read() as reader:
        return parse_body(next(iter(reader.events(LATEST)))[1])


def told(body: EventBody) -> dict[str, object]:
    return {change["path"]: change["after"] for change in body.get("changes", ())}


def add_events(acme: Administration, number: int, *, pii: Callable[[int], list[str]] = lambda _: []) -> None:
    """Events as they lie in the log, more than come about in a test."""
    first = acme.wiring.mint.id()

    def make(place: int) -> EventRow:
        event_id = EventId(f"{first[:24]}{place:012d}")
        body = {
            "v": 1,
            "action": "user.updated",
            "actor": {"id": "operator:test", "type": "admin"},
            "cause": {"kind": "operator"},
            "id": event_id,
            "organisation": acme.organisation_id,
            "outcome": "success",
            "salt": "00" * 16,
            "targets": [
                {"id": event_id, "pii": one, "role": "subject", "type": "user"} for one in pii(place)
            ],
            "time": "2026-03-01T12:00:00.000Z",
        }
        at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        return EventRow(
            event_id, at, "user.updated", event_id, orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        )

    with acme.wiring.database.write() as connection:
        append_event_rows(connection, acme.organisation_id, map(make, range(number)))


@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_written_meanwhile_is_in_no_export(acme: Administration, format_: str) -> None:
    before = b"".join(stream_export(acme, EventQuery(), format_=format_))
    count = told(latest(acme))["rows"]

    with stream_export(acme, EventQuery(), format_=format_) as chunks:
        add_events(acme, 3)
        seal(acme)
        after = b"".join(chunks)

    unsealed = {"jsonl": 2, "csv": 2}.get(format_, 0)
    assert told(latest(acme))["rows"] == count + unsealed  # type: ignore[operator]  # a number
    assert len(before) > 0 < len(after)


def test_a_download_that_is_cut_off_says_how_much_has_left(acme: Administration) -> None:
    add_events(acme, 3 * log_export.AT_ONCE)
    chunks = stream_export(acme, EventQuery(), format_="jsonl")
    begun = latest(acme)
    first = next(chunks)

    chunks.close()
    chunks.close()

    ended = latest(acme)
    assert (begun["action"], told(begun)) == ("export.created", {"format": "jsonl"})
    assert (ended["action"], ended["outcome"]) == ("export.downloaded", "failure")
    assert told(ended)["bytes"] == len(first)
    assert told(ended)["rows"] == log_export.AT_ONCE
    assert ended["cause"].get("parent") == begun["id"]


def test_a_download_that_fails_says_so(acme: Administration) -> None:
    chunks = stream_export(acme, EventQuery(), format_="bundle")
    chunks.source.close()

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the driver says of a closed transaction
        list(chunks)

    assert latest(acme)["outcome"] == "failure"


def test_an_export_that_cannot_be_told_of_does_not_begin(acme: Administration) -> None:
    class BrokenError(Exception):
        pass

    def refuse() -> str:
        raise BrokenError

    class Mint:
        id = staticmethod(refuse)
        salt = acme.wiring.mint.salt

    wiring = replace(acme.wiring, mint=Mint())
    with pytest.raises(BrokenError):
        stream_export(replace(acme, wiring=wiring), EventQuery(), format_="jsonl")

    assert b"".join(stream_export(acme, EventQuery(), format_="jsonl"))


def test_a_page_of_a_list_is_no_filter(acme: Administration, tmp_path: Path) -> None:
    query = EventQuery(after=7, limit=2, newest_first=True)

    done = save_export(acme, query, format_="bundle", target=tmp_path / "x.zip")

    assert done.plan is not None
    assert done.plan.leaves == LeafRange(0, done.plan.checkpoint.size)


def test_a_full_disk_leaves_nothing(acme: Administration, tmp_path: Path) -> None:
    add_events(acme, 2 * log_export.AT_ONCE)
    folder = tmp_path / "full"
    folder.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with acme.read() as reader:
        reader.organisation()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FileAccessError, match="cannot be written: File too large"):
            save_export(acme, EventQuery(), format_="jsonl", target=folder / "log.jsonl")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(folder.iterdir()) == []
    assert latest(acme)["action"] != "export.created"


def test_an_export_that_is_interrupted_leaves_what_was_there(acme: Administration, tmp_path: Path) -> None:
    target = tmp_path / "log.jsonl"
    target.write_text("older")

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_export(acme, EventQuery(), format_="jsonl", target=target, progress=stop)

    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    steps: list[float] = []
    save_export(acme, EventQuery(), format_="jsonl", target=target, progress=steps.append)
    assert steps == sorted(steps)
    assert steps[-1] == 1
    assert Tally(start=5, position=5, end=5).fraction == 0


def test_names_stand_beside_the_line_that_refers_to_them(acme: Administration, tmp_path: Path) -> None:
    refs = [acme.wiring.mint.id() for _ in range(3)]
    with acme.unit_of_work.write() as writer:
        writer.insert_personal_data(
            [PersonalData(ref, acme.organisation_id, {"name": f"Person {ref[-4:]}"}) for ref in refs[:2]]
        )
    cases = [
        [f"pii:{refs[0]}"],
        [f"pii:{refs[1]}", f"pii:{refs[0]}", f"pii:{refs[1]}"],
        [f"pii:{refs[2]}"],
        ['pii:","names":{"', "pii:é"],
    ]
    add_events(acme, len(cases), pii=lambda place: cases[place])

    save_export(acme, EventQuery(action="user.updated"), format_="jsonl", target=tmp_path / "x")

    lines = [orjson.loads(line) for line in (tmp_path / "x").read_bytes().splitlines()]
    known = {f"pii:{ref}": {"name": f"Person {ref[-4:]}"} for ref in refs[:2]}
    assert [line["names"] for line in lines[-4:]] == [
        {f"pii:{refs[0]}": known[f"pii:{refs[0]}"]},
        known,
        {f"pii:{refs[2]}": {"name": "[erased]"}},
        {},
    ]


def test_a_large_selection_is_in_the_order_of_the_log(acme: Administration, tmp_path: Path) -> None:
    add_events(acme, 5_000)
    seal(acme)
    target = tmp_path / "bundle.zip"

    done = save_export(acme, EventQuery(action="user.updated"), format_="bundle", target=target)

    (vkey,) = load_log_keys(acme.wiring.settings).vkeys
    assert done.tally.events >= 5_000
    assert verify_bundle(target, keys=[vkey]).result == INCLUSION


def test_a_period_is_found_although_clocks_went_back(acme: Administration, tmp_path: Path) -> None:
    """The events added later say that they are older than all others."""
    add_events(acme, 4)
    seal(acme)
    acme.record("log.read", ())
    seal(acme)
    target = tmp_path / "bundle.zip"
    march = datetime(2026, 3, 1, tzinfo=UTC)

    done = save_export(
        acme, EventQuery(since=march, until=march.replace(day=2)), format_="bundle", target=target
    )

    assert done.plan is not None
    assert done.plan.leaves == LeafRange(done.plan.checkpoint.size - 5, done.plan.checkpoint.size - 1)
    (vkey,) = load_log_keys(acme.wiring.settings).vkeys
    assert verify_bundle(target, keys=[vkey]).result == COMPLETE_RANGE
    with ZipFile(BytesIO(target.read_bytes())) as archive:
        assert b"since=2026-03-01T00:00:00Z until=2026-03-02T00:00:00Z" in archive.read("manifest.json")


def test_a_log_whose_keys_are_all_unknown_makes_no_bundle(acme: Administration) -> None:
    with acme.wiring.database.migrate() as connection:
        connection.exec_driver_sql("DELETE FROM log_key")
    acme.wiring.settings.log_key_file.unlink()

    with pytest.raises(InputError, match="none of the keys of the log has signed"):
        stream_export(acme, EventQuery(), format_="bundle")


@pytest.mark.parametrize(
    ("removals", "clipped"),
    [
        ([], []),
        ([(0, 4)], []),
        ([(0, 10)], [(10, 11)]),
        ([(0, 12), (13, 14), (20, 99)], [(10, 15), (20, 30)]),
        ([(5, 99)], [(10, 30)]),
        ([(12, 12), (40, 50)], [(12, 13)]),
    ],
)
def test_removed_ranges_are_those_within_the_bundle(
    removals: list[tuple[int, int]], clipped: list[tuple[int, int]]
) -> None:
    found = _clip(removals, LeafRange(10, 30))

    assert [(one.first, one.end) for one in found] == clipped


def test_a_file_is_named_by_organisation_and_moment() -> None:
    at = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)

    assert export_name('Acme "Stays" / é', "bundle", at) == "acme--stays-2026-03-01T123015Z.zip"
    assert export_name("éé", "ocsf", at) == "record-2026-03-01T123015Z.ocsf.jsonl"
    assert os.sep not in export_name("../../etc", "csv", at)
