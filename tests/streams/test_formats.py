"""Every record in every form: files that hold what it should be, and what receivers ask of each form."""

import re
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from audit.cef import escape_header, escape_value, to_cef
from audit.ecs import CATEGORIES, TYPES, to_ecs
from audit.events import ACTIONS, ERASED
from audit.ocsf import ROWS
from audit.tree import leaf_hash
from directory.ids import OrganisationId, StreamId
from provisioning.streaming import SealedEvent, StoredStream
from streams.formats import form_of, measure_in
from streams.records import EventRecord, GapRecord, record_time
from tests.audit.ocsf_samples import build_body
from tests.audit.test_ocsf import CLASSES, check_object
from tests.streams import form_samples
from tests.streams.form_samples import ANNA, FOLDER, FORMS, NOW, make_form, samples

SAMPLES = dict(samples())
CEF_LINE = re.compile(
    r"CEF:0\|Usher\|Usher\|1\.2\.3\|([^|]+)\|([^|]+)\|(3|6|8)\|((?:[^=\\ ]+=(?:[^=\\]|\\.)*)+)"
)
# What `event.type` may be for each category. Source: ECS 8.17, "ECS Categorization Field: event.category".
ECS_TYPES = {
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "authentication": {"start", "end", "info"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
}


def told(form: str, sample: str) -> dict[str, object]:
    read: dict[str, object] = orjson.loads(make_form(form).render(SAMPLES[sample]))
    return read


@pytest.mark.parametrize("form", FORMS)
def test_every_record_is_as_its_file_says(form: str) -> None:
    assert form_samples.render(form) == (FOLDER / f"{form}.json").read_text(encoding="utf-8")


def test_the_files_are_written_by_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_samples, "FOLDER", tmp_path)

    form_samples.write_files()

    assert {path.stem for path in tmp_path.iterdir()} == set(FORMS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_record_is_one_line(form: str, sample: str) -> None:
    line = make_form(form).render(SAMPLES[sample]).decode()

    assert line.splitlines() == [line]


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_record_fits_the_schema_of_ocsf(sample: str) -> None:
    event = told("ocsf", sample)

    (schema,) = [one for one in CLASSES.values() if one["uid"] == event["class_uid"]]
    assert check_object(event, schema, sample) == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_every_record_fits_cef(sample: str) -> None:
    assert CEF_LINE.fullmatch(make_form("cef").render(SAMPLES[sample]).decode())


def test_a_receiver_computes_the_leaf_from_the_canonical_form() -> None:
    record = SAMPLES["event"]
    assert isinstance(record, EventRecord)

    read = orjson.loads(make_form("canonical").render(record))

    assert leaf_hash(orjson.dumps(read["body"], option=orjson.OPT_SORT_KEYS)) == leaf_hash(record.event.body)


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_a_place_in_ecs_and_cef(action: str) -> None:
    body = build_body(action)

    event = to_ecs(body, leaf_index=1, product_version="1.2.3")["event"]

    assert isinstance(event, dict)
    (category,) = event["category"]
    assert set(event["type"]) <= ECS_TYPES[category]
    assert CEF_LINE.fullmatch(to_cef(body, leaf_index=1, product_version="1.2.3"))


def test_an_action_of_a_later_release_has_a_place_too() -> None:
    body = build_body("role.granted")
    body["action"] = "planet.moved"
    del body["targets"], body["changes"]
    raw = orjson.dumps(body)

    record = EventRecord(SealedEvent(9, raw, body["id"], NOW, {}))

    ocsf = orjson.loads(make_form("ocsf").render(record))
    assert (ocsf["metadata"]["event_code"], ocsf["raw_data"]) == ("event.unreadable", raw.decode())
    ecs = orjson.loads(make_form("ecs").render(record))
    assert (ecs["event"]["action"], ecs["event"]["type"]) == ("planet.moved", ["info"])
    assert make_form("cef").render(record).startswith(b"CEF:0|Usher|Usher|1.2.3|planet.moved|Planet moved|3|")


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"v":1}', b"\xff", b'{"time":7}'])
@pytest.mark.parametrize("form", ["ocsf", "ecs", "cef"])
def test_what_is_no_event_holds_nothing_up(form: str, raw: bytes) -> None:
    record = EventRecord(SealedEvent(9, raw, "event-9", NOW, {}))

    assert b"event.unreadable" in make_form(form).render(record)
    assert record_time(record, NOW) == NOW


def test_a_broken_part_of_an_event_holds_nothing_up() -> None:
    body = build_body("role.granted")
    body["time"] = "yesterday"
    record = EventRecord(SealedEvent(9, orjson.dumps(body), body["id"], NOW, {}))

    assert b"event.unreadable" in make_form("ocsf").render(record)


def test_who_was_erased_is_shown_as_such_in_every_form_but_the_canonical_one() -> None:
    for form in ("ocsf", "ecs", "cef"):
        assert ERASED.encode() in make_form(form).render(SAMPLES["erased"])
    assert told("canonical", "erased")["names"] == {"pii:2": {"dn": "uid=nobody"}}


def test_a_person_has_name_and_address_where_siems_look_for_them() -> None:
    whole = {"name": ANNA["user_name"], "full_name": ANNA["name"]}
    assert told("ocsf", "event")["user"] == {"uid": "mem_1", "email_addr": ANNA["mail"], **whole}
    ecs = told("ecs", "event")
    assert ecs["user"] == {"id": "tok_1", "target": {"id": "mem_1", "email": ANNA["mail"], **whole}}
    assert ecs["related"] == {"user": sorted(("tok_1", "mem_1", *whole.values(), ANNA["mail"]))}


def test_cef_escapes_what_it_must() -> None:
    assert escape_header("a|b\\c\nd\x07") == "a\\|b\\\\c d "
    assert escape_value("a=b|c\\d\r\ne\rf\x00\u2028g") == "a\\=b|c\\\\d\\ne\\nf \\ng"


def test_cef_says_what_is_grave_and_cuts_what_is_long() -> None:
    body = build_body("breakglass.used")
    body["changes"] = [
        {"path": "kind", "before": None, "after": ["x" * 5000]},
        {"path": "a", "before": [], "after": 1},
    ]
    line = to_cef(body, leaf_index=1, product_version="1.2.3", names={body["actor"]["id"]: "Okta"})

    assert line.split("|")[6] == "8"
    assert "suser=Okta " in line
    (changes,) = re.findall(r"cs3=(.*) cs3Label", line)
    assert len(changes) == 4000


def test_values_of_changes_are_texts_so_that_an_index_gives_them_one_type() -> None:
    body = build_body("role.granted")
    body["changes"] = [
        {"path": "a", "before": None, "after": {"sha256": "00", "len": 7}},
        {"path": "b", "before": 1, "after": True},
    ]
    usher = to_ecs(body, leaf_index=None, product_version="1")["usher"]

    assert isinstance(usher, dict)
    assert usher["changes"] == [
        {"path": "a", "after": "sha256:00 (7 bytes)"},
        {"path": "b", "before": "1", "after": "true"},
    ]


def test_every_class_has_its_types() -> None:
    assert set(CATEGORIES) == set(TYPES) == {row.class_uid for row in ROWS.values()}
    for class_uid, types in TYPES.items():
        assert {one for many in types.values() for one in many} <= ECS_TYPES[CATEGORIES[class_uid]]


def stream(kind: str, **settings: str) -> StoredStream:
    return StoredStream(
        StreamId("s"), OrganisationId("org"), "siem", kind, dict(settings), "", "active", "", 1, NOW
    )


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("splunk", "ocsf"),
        ("sentinel", "ocsf"),
        ("syslog", "ocsf"),
        ("webhook", "canonical"),
        ("pull", "canonical"),
    ],
)
def test_each_kind_has_its_form_when_nothing_is_said(kind: str, form: str) -> None:
    assert form_of(stream(kind), lambda: NOW).name == form
    assert form_of(stream(kind, format=""), lambda: NOW).name == form
    assert form_of(stream(kind, format="ecs"), lambda: NOW).name == "ecs"


@pytest.mark.parametrize("form", ["ocsf", "ecs", "canonical"])
def test_the_measure_of_an_event_holds_it(form: str) -> None:
    measure = measure_in(stream("webhook", format=form))

    for record in SAMPLES.values():
        if isinstance(record, EventRecord):
            length = len(make_form(form).render(replace(record, is_replay=False)))
            assert length < measure(record.event) < length + 3500


def test_a_gap_has_the_time_of_its_sending() -> None:
    gap = GapRecord(3, 7)

    assert record_time(gap, NOW) == NOW
    assert orjson.loads(make_form("ecs").render(gap))["@timestamp"] == "2026-03-04T05:06:09.123Z"


def test_what_the_service_does_by_itself_has_no_user() -> None:
    body = build_body("sync.started")
    body["actor"] = {"type": "system", "id": "scheduler"}
    body["reason"] = {"code": "no_mapping"}

    read = orjson.loads(
        make_form("ecs").render(EventRecord(SealedEvent(9, orjson.dumps(body), body["id"], NOW, {})))
    )

    assert not read.keys() & {"user", "related"}
    assert read["event"]["reason"] == "no_mapping"
    assert "reason" not in read["usher"]


def test_of_a_person_no_more_is_said_than_is_known() -> None:
    record = SAMPLES["event"]
    assert isinstance(record, EventRecord)
    bare = record.event._replace(names={"pii:1": {"user_name": "anna"}})

    user = orjson.loads(make_form("ocsf").render(EventRecord(bare)))["user"]

    assert user == {"uid": "mem_1", "name": "anna"}
