"""Searching the log: every filter and pair of filters against a reading of all bodies, wherever the terms stand."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import orjson
import pytest

from provisioning.ports import EventQuery
from provisioning.state import EventRow, PersonalData
from storage.engine import Database
from storage.event_rows import SOON, append_event_rows, index_waiting_events
from storage.event_search import EventSearch
from storage.event_terms import term_number
from tests.conformance.builders import NOW as MOMENT
from tests.conformance.builders import Tenant, event, make_tenant, new_id
from tests.conformance.test_query_plans import Recorder, explain

ACTIONS = ("role.granted", "role.revoked", "member.created", "log.read", "user.updated")
ACTORS = (("admin", "ada"), ("admin", "bob"), ("run", "run-1"), ("token", "tok-1"), ("system", "seats"))
PEOPLE = ("mem-1", "mem-2", "mem-3")
GROUPS = ("grp-1", "grp-2")
# Whole, as it stands in a body.
NOW = MOMENT.replace(microsecond=0)
HOUR = timedelta(hours=1)
NUMBER = 700

FILTERS: dict[str, dict[str, Any]] = {
    "action": {"action": "role.granted"},
    "prefix": {"action": "role."},
    "about": {"about": ("mem-1",)},
    "about several": {"about": ("mem-2", "mem-3", "mem-x")},
    "actor": {"actor": "ada"},
    "actor type": {"actor_type": "admin"},
    "group": {"group": "grp-1"},
    "rule": {"rule": "rul-1"},
    "role": {"role": "Admin"},
    "denied": {"outcome": "denied"},
    "success": {"outcome": "success"},
    "cause": {"cause": "guard"},
    "run": {"run": "run-1"},
    "request": {"request": "req-1"},
    "parent": {"parent": "evt-1"},
    "since": {"since": NOW + 5 * HOUR},
    "until": {"until": NOW + 2 * HOUR},
    "window": {"since": NOW + 2 * HOUR + timedelta(minutes=7), "until": NOW + 4 * HOUR},
    "no time": {"since": NOW + 999 * HOUR},
    "nothing": {"about": ("nobody",)},
}
COMBINED: list[tuple[str, ...]] = [(name,) for name in FILTERS]
COMBINED += [
    (first, second)
    for first, second in combinations(FILTERS, 2)
    if not FILTERS[first].keys() & FILTERS[second].keys()
]


def _drawn(number: int, drawn: random.Random) -> EventRow:
    kind, actor = drawn.choice(ACTORS)
    parts: dict[str, Any] = {"actor": {"type": kind, "id": actor}}
    parts["outcome"] = drawn.choice(["success"] * 8 + ["denied", "noop"])
    parts["cause"] = {"kind": drawn.choice(["run", "system", "guard"])}
    for name, values in (
        ("parent", ("evt-1", "evt-2")),
        ("group_id", GROUPS),
        ("rule_id", ("rul-1", "rul-2")),
        ("run_id", ("run-1", "run-2")),
    ):
        if drawn.random() < 0.3:
            parts["cause"][name] = drawn.choice(values)
    targets = [("member", drawn.choice(PEOPLE)), ("group", drawn.choice(GROUPS)), ("rule", "rul-1")]
    parts["targets"] = [
        {"type": kind, "id": target, "role": "subject"} for kind, target in targets if drawn.random() < 0.5
    ]
    if drawn.random() < 0.3:
        role = drawn.choice(["Admin", "Member"])
        parts["changes"] = [{"path": "role", "before": None, "after": role}]
    if drawn.random() < 0.2:
        parts["context"] = {"request_id": drawn.choice(["req-1", "req-2"])}
    # Clocks go back now and then, by minutes or by hours.
    time = NOW + number * timedelta(minutes=1) - drawn.choice([0, 0, 0, 0, 1, 5]) * HOUR
    return event(drawn.choice(ACTIONS), time=time, **parts)


def _fill(tenant: Tenant, seed: int = 1) -> None:
    drawn = random.Random(seed)
    with tenant.database.write() as connection:
        append_event_rows(
            connection, tenant.organisation_id, [_drawn(number, drawn) for number in range(NUMBER)]
        )


@pytest.fixture(scope="module", params=["waiting", "half", "indexed"])
def log(request: pytest.FixtureRequest, database: Database) -> Tenant:
    """A log of which none, half or all have terms, beside another of the same words."""
    tenant = make_tenant(database)
    halves = 2 if request.param == "half" else 1
    for half in range(halves):
        _fill(make_tenant(database), seed=half)
        _fill(tenant, seed=half)
        if request.param != "waiting" and half == 0:
            _index(database)
    return tenant


def _index(database: Database) -> None:
    rows = 1
    while rows:
        with database.write() as connection:
            rows = index_waiting_events(connection)


def _all(tenant: Tenant) -> list[tuple[int, dict[str, Any]]]:
    with tenant.unit_of_work.read() as reader:
        return [(row, orjson.loads(body)) for row, body in reader.events(EventQuery(limit=10_000))]


def _fits(query: EventQuery, body: dict[str, Any]) -> bool:
    time = datetime.fromisoformat(body["time"])
    cause, targets = body["cause"], {target["id"] for target in body["targets"]}
    roles = {change["after"] for change in body.get("changes", ())}
    return all(
        (
            body["action"].startswith(query.action)
            if query.action.endswith(".")
            else query.action in {"", body["action"]},
            not query.about or targets & set(query.about),
            query.actor in {"", body["actor"]["id"]},
            query.actor_type in {"", body["actor"]["type"]},
            query.group in {"", cause.get("group_id"), *targets},
            query.rule in {"", cause.get("rule_id"), *targets},
            query.role in {"", *roles},
            query.outcome in {"", body["outcome"]},
            query.cause in {"", cause["kind"]},
            query.run in {"", cause.get("run_id"), body["actor"]["id"]},
            query.request in {"", body.get("context", {}).get("request_id")},
            query.parent in {"", cause.get("parent")},
            query.since is None or time >= query.since,
            query.until is None or time < query.until,
        )
    )


def _found(tenant: Tenant, query: EventQuery) -> list[int]:
    with tenant.unit_of_work.read() as reader:
        return [row for row, _ in reader.events(query)]


def _query(names: tuple[str, ...], query: EventQuery) -> EventQuery:
    for name in names:
        query = replace(query, **FILTERS[name])
    return query


def test_a_search_finds_what_fits_and_nothing_else(log: Tenant) -> None:
    everything = _all(log)
    for names in COMBINED:
        query = _query(names, EventQuery(limit=10_000))
        _check_search(log, everything, query)


def _check_search(log: Tenant, everything: list[tuple[int, dict[str, Any]]], query: EventQuery) -> None:
    fitting = [row for row, body in everything if _fits(query, body)]

    assert _found(log, query) == fitting
    assert _found(log, replace(query, newest_first=True)) == fitting[::-1]
    assert _found(log, replace(query, limit=3)) == fitting[:3]
    if len(fitting) > 5:
        assert _found(log, replace(query, after=fitting[2], limit=2)) == fitting[3:5]
        assert _found(log, replace(query, after=fitting[-2], limit=2, newest_first=True)) == fitting[-3:-5:-1]


@pytest.mark.parametrize(
    "query",
    [EventQuery(action="role."), EventQuery(outcome="success"), EventQuery(cause="run", actor_type="admin")],
    ids=["terms", "all but some", "two filters"],
)
def test_pages_that_follow_each_other_are_the_whole(log: Tenant, query: EventQuery) -> None:
    whole = _found(log, replace(query, limit=10_000, newest_first=True))
    paged: list[int] = []
    while page := _found(log, replace(query, limit=17, newest_first=True, after=paged[-1] if paged else 0)):
        paged += page
    assert paged == whole


PAIRS = [
    ("cause", "role"),
    ("group", "role"),
    ("success", "action"),
    ("actor", "prefix"),
    ("about several", "run"),
]


@pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
@pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
def test_a_search_that_stops_early_goes_on_where_it_stopped(
    log: Tenant, names: tuple[str, ...], newest_first: bool
) -> None:
    query = _query(names, EventQuery(limit=10, newest_first=newest_first))

    found = _followed(log, query, probes=60)

    assert found == _found(log, replace(query, limit=10_000))


def _followed(tenant: Tenant, query: EventQuery, *, probes: int) -> list[int]:
    """All that pages hold one behind the other."""
    found: list[int] = []
    after: int | None = query.after
    while after is not None:
        query = replace(query, after=after)
        with tenant.database.read() as connection:
            page = EventSearch(
                connection, tenant.organisation_id, query, prepared=tenant.database.prepared, probes=probes
            ).page()
        found += [row for row, _ in page.events]
        after = page.goes_on_after
    return found


def test_filters_that_never_meet_are_not_walked_to_the_end(fresh_database: Database) -> None:
    own = make_tenant(fresh_database)
    with own.unit_of_work.write() as writer:
        for number in range(3000):
            cause = {"kind": "guard" if number % 2 else "run"}
            writer.append_events([event("role.granted" if number % 2 else "role.revoked", cause=cause)])
    _index(fresh_database)
    query = EventQuery(action="role.granted", cause="run", newest_first=True)

    with fresh_database.read() as connection:
        page = EventSearch(
            connection, own.organisation_id, query, prepared=fresh_database.prepared, probes=500
        ).page()
    with own.unit_of_work.read() as reader:
        whole = reader.search_events(query)

    assert page.events == []
    assert page.goes_on_after is not None
    assert page.goes_on_after > 1000
    assert (whole.events, whole.goes_on_after) == ([], None)


def test_a_search_for_what_nobody_has_ends_at_once(indexed: Tenant) -> None:
    query = EventQuery(actor="nobody", role="Admin")
    with indexed.unit_of_work.read() as reader:
        assert reader.search_events(query).goes_on_after is None


def test_a_full_page_says_where_the_next_begins(indexed: Tenant) -> None:
    with indexed.unit_of_work.read() as reader:
        page = reader.search_events(EventQuery(limit=3))
        (next_row, _), *_ = reader.search_events(EventQuery(after=page.goes_on_after or 0, limit=3)).events
        everything = [row for row, _ in reader.events(EventQuery(limit=4))]

    assert [row for row, _ in page.events] == everything[:3]
    assert next_row == everything[3]


def test_a_log_without_events_has_nothing_to_find(tenant: Tenant) -> None:
    assert _found(tenant, EventQuery(action="role.")) == []
    assert _found(tenant, EventQuery(since=NOW)) == []


def test_many_found_events_are_read_in_parts(tenant: Tenant) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.append_events([event("role.granted") for _ in range(2500)])
    _index(tenant.database)
    found = _found(tenant, EventQuery(action="role.", limit=10_000))
    assert len(found) == 2500
    assert found == sorted(found)
    assert len(_found(tenant, EventQuery(outcome="success", limit=10_000))) == 2500


def test_events_get_their_terms_as_more_are_written(tenant: Tenant, fresh_database: Database) -> None:
    own = make_tenant(fresh_database)
    for _ in range(3):
        with own.unit_of_work.write() as writer:
            writer.append_events([event() for _ in range(SOON // 2 + 1)])

    assert _waiting(fresh_database) <= SOON // 2 + 1


def _waiting(database: Database) -> int:
    with database.write() as connection:
        return index_waiting_events(connection)


def test_a_body_that_is_none_keeps_nothing_from_being_found(fresh_database: Database) -> None:
    own = make_tenant(fresh_database)
    with own.unit_of_work.write() as writer:
        writer.append_events([event(body=b"forged"), event("role.granted")])
    assert len(_found(own, EventQuery(action="role."))) == 1
    _index(fresh_database)
    assert len(_found(own, EventQuery(action="role."))) == 1


def test_events_of_the_service_have_no_terms(fresh_database: Database) -> None:
    with fresh_database.write() as connection:
        append_event_rows(connection, None, [event()])
    _index(fresh_database)
    with fresh_database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM audit_term").scalar_one() == 0


def test_an_open_transaction_keeps_its_events_waiting_on_postgresql(fresh_database: Database) -> None:
    if fresh_database.is_sqlite:
        pytest.skip("SQLite has one writer")
    own = make_tenant(fresh_database)
    with fresh_database.write() as early:
        append_event_rows(early, own.organisation_id, [event("role.granted")])
        with fresh_database.write() as late:
            append_event_rows(late, own.organisation_id, [event("role.revoked")])
        _index(fresh_database)
        assert len(_found(own, EventQuery(action="role."))) == 1
    assert len(_found(own, EventQuery(action="role."))) == 2
    _index(fresh_database)
    assert len(_found(own, EventQuery(action="role."))) == 2


def test_only_one_gives_terms_at_a_time_on_postgresql(fresh_database: Database) -> None:
    if fresh_database.is_sqlite:
        pytest.skip("SQLite has one writer")
    own = make_tenant(fresh_database)
    with own.unit_of_work.write() as writer:
        writer.append_events([])
    with fresh_database.write() as connection:
        append_event_rows(connection, own.organisation_id, [event()])
    with fresh_database.write() as first, fresh_database.write() as second:
        assert index_waiting_events(first) == 1
        assert index_waiting_events(second) == 0


def test_events_are_found_on_a_server_that_counts_from_a_lower_number(fresh_database: Database) -> None:
    if fresh_database.is_sqlite:
        pytest.skip("rows are counted by the file itself")
    own = make_tenant(fresh_database)
    with fresh_database.write() as connection:
        append_event_rows(connection, own.organisation_id, [event("role.granted")])
    _index(fresh_database)
    with fresh_database.write() as connection:
        append_event_rows(connection, own.organisation_id, [event("role.revoked")])
        connection.exec_driver_sql("UPDATE audit_indexed SET horizon = 1000000000")

    _index(fresh_database)
    assert len(_found(own, EventQuery(action="role."))) == 2

    with fresh_database.write() as connection:
        append_event_rows(connection, own.organisation_id, [event("role.granted")])
    assert len(_found(own, EventQuery(action="role."))) == 3
    _index(fresh_database)
    assert len(_found(own, EventQuery(action="role."))) == 3


def test_a_term_has_another_number_in_each_organisation(tenant: Tenant, other: Tenant) -> None:
    assert term_number(tenant.organisation_id, "a") != term_number(other.organisation_id, "a")
    assert term_number(tenant.organisation_id, "a") == term_number.__wrapped__(tenant.organisation_id, "a")
    assert term_number(tenant.organisation_id, "\ud800") != 0


def test_a_search_reads_by_indexes_alone(indexed: Tenant) -> None:
    with Recorder(indexed.database) as recorder, indexed.unit_of_work.read() as reader:
        for names in COMBINED:
            list(reader.events(_query(names, EventQuery(limit=50, newest_first=True))))

    different = list({statement: (statement, values) for statement, values in recorder.statements}.values())
    used, scanned = explain(indexed.database, different)

    assert scanned == []
    # SQLAlchemy writes one of 0 for SQLite.
    assert not any("OFFSET" in statement.replace("OFFSET ?", "") for statement, _ in recorder.statements)
    if not indexed.database.is_sqlite:
        assert set(used) <= {
            "pk_organisation",
            "pk_audit_term",
            "pk_audit_hour",
            "pk_audit_event",
            "pk_audit_indexed",
            "ix_audit_event_organisation_id",
            "ix_audit_event_xid",
        }


@pytest.fixture(scope="module")
def indexed(database: Database) -> Tenant:
    tenant = make_tenant(database)
    for seed in range(3):
        _fill(make_tenant(database), seed)
        _fill(tenant, seed)
    _index(database)
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    return tenant


Change = Callable[[str], str]


@pytest.mark.parametrize("change", [str, str.upper, str.title], ids=["as it is", "capitals", "titles"])
def test_people_are_found_by_a_mail_they_had(tenant: Tenant, other: Tenant, change: Change) -> None:
    zoe = new_id()
    for own, subject in ((tenant, zoe), (other, new_id())):
        with own.unit_of_work.write() as writer:
            for mail in ("zoe@example.org", "zoe@example.com", "zoe@example.org"):
                writer.insert_personal_data([PersonalData(new_id(), subject, {"mail": mail})])
            writer.insert_personal_data([PersonalData(new_id(), new_id(), {"name": "zoe@example.org"})])

    with tenant.unit_of_work.read() as reader:
        assert reader.subjects_by_mail(change("zoe@example.org")) == [zoe]
        assert reader.subjects_by_mail(change("zoe@example.com")) == [zoe]
        assert reader.subjects_by_mail("zoe") == []


def test_nobody_is_found_by_mail_where_nobody_has_one(tenant: Tenant) -> None:
    with tenant.unit_of_work.read() as reader:
        assert reader.subjects_by_mail("zoe@example.org") == []
