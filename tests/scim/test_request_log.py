"""What of a request is kept, and what is not."""

import json
from typing import Any

import pytest
from hypothesis import given

from directory.ids import DirectoryId, EventId, OrganisationId
from directory.schema import CORE_USER, ENTERPRISE
from provisioning.resources import LoggedRequest
from scim.answers import Answer, SCIMRequest
from scim.callers import make_caller
from scim.request_log import MAX_BODY, MAX_EVENTS, RequestLog, Visit
from scim.resources import dump_json
from tests.builders import MONDAY
from tests.scim.builders import DOCUMENTS

CALLER = make_caller(OrganisationId("o"), DirectoryId("d"), "t", {"profile": "okta"})
LOG = RequestLog()


def describe(request: SCIMRequest, answer: Answer | None = None) -> LoggedRequest:
    visit = Visit("request-1", MONDAY, "usher_scim_aaaaaaaa", "192.0.2.1", 77)
    return LOG.describe(request, answer or Answer(200), CALLER, visit, log_id="1")


def kept(body: object) -> Any:  # noqa: ANN401 - JSON
    told = describe(SCIMRequest("POST", "Users", body=dump_json(body))).request_body
    assert told is not None
    return json.loads(told)


def test_row_says_who_asked_what_and_what_came_of_it() -> None:
    answer = Answer(
        409,
        body=b'{"status":"409"}',
        scim_type="uniqueness",
        detail="taken",
        events=(EventId("e"),) * (MAX_EVENTS + 1),
        leniencies=("dotted_keys",),
    )
    row = describe(
        SCIMRequest("PUT", "Users/1", headers={"if-match": "*", "x-odd": "1", "accept": ""}), answer
    )

    assert (row.id, row.organisation_id, row.directory_id, row.profile) == ("1", "o", "d", "okta")
    assert (row.method, row.path, row.status, row.scim_type, row.detail) == (
        "PUT",
        "Users/1",
        409,
        "uniqueness",
        "taken",
    )
    assert (row.token_prefix, row.address, row.duration_us) == ("usher_scim_aaaaaaaa", "192.0.2.1", 77)
    assert row.headers == {"if-match": "*"}
    assert len(row.events) == MAX_EVENTS
    assert (row.request_body, row.answer_body) == (None, '{"status":"409"}')


def test_bodies_of_good_reads_are_not_kept() -> None:
    good = describe(SCIMRequest("GET", "Users"), Answer(200, body=b"{}"))
    bad = describe(SCIMRequest("GET", "Users"), Answer(400, body=b"{}"))
    streamed = describe(SCIMRequest("GET", "Groups/1"), Answer(200, body=iter([b"{}"])))

    assert (good.answer_body, bad.answer_body, streamed.answer_body) == (None, "{}", None)


def test_known_attributes_stay_and_others_become_marks() -> None:
    assert kept(
        {
            "schemas": [CORE_USER],
            "userName": "ada",
            "PASSWORD": "hunter2",
            f"{CORE_USER}:password": "hunter2",
            "name.givenName": "Ada",
            "name.odd": "Ada",
            ENTERPRISE: {"department": "R", "badge": 12},
            "urn:example:custom": {"secret": "x"},
            "emails": [{"value": "a@x", "odd": [1]}],
        }
    ) == {
        "schemas": [CORE_USER],
        "userName": "ada",
        "PASSWORD": "[redacted: 7 characters]",
        f"{CORE_USER}:password": "[redacted: 7 characters]",
        "name.givenName": "Ada",
        "name.odd": "[redacted: 3 characters]",
        ENTERPRISE: {"department": "R", "badge": "[redacted: 2 characters]"},
        "urn:example:custom": "[redacted: 1 entries]",
        "emails": [{"value": "a@x", "odd": "[redacted: 1 entries]"}],
    }


@pytest.mark.parametrize(
    ("path", "is_kept"),
    [
        ("displayName", True),
        ('emails[type eq "work"].value', True),
        (f"{ENTERPRISE}:manager.value", True),
        (ENTERPRISE, True),
        (None, True),
        ("password", False),
        (f"{CORE_USER}:password", False),
        ("badge", False),
        ("urn:example:custom:secret", False),
        (1, False),
    ],
)
def test_value_of_an_operation_stays_where_its_path_is_known(path: object, is_kept: bool) -> None:
    operation = {"op": "replace", "path": path, "value": "a value"}

    told = kept({"Operations": [operation]})["Operations"][0]

    assert told["value"] == ("a value" if is_kept else "[redacted: 7 characters]")


def test_query_keeps_what_the_protocol_has() -> None:
    row = describe(
        SCIMRequest(
            "GET", "Users", (("filter", 'userName eq "a"'), ("token", "abc"), ("filter", 'Password eq "x"'))
        )
    )

    assert row.query == (
        "filter=userName+eq+%22a%22&token=%5Bredacted%3A+3+characters%5D&filter=%5Bredacted%3A+15+characters%5D"
    )


def test_body_that_is_no_json_is_a_mark() -> None:
    assert describe(SCIMRequest("POST", "Users", body=b'{"password')).request_body == "[no JSON: 10 bytes]"


def test_long_bodies_are_cut() -> None:
    members = [{"value": f"{number:036}"} for number in range(10_000)]
    long_list = kept({"members": members})
    long_text = describe(
        SCIMRequest("POST", "Users", body=json.dumps({"title": "x" * 70_000}).encode()),
        Answer(201, body=b"y" * 70_000),
    )

    assert len(long_list["members"]) == 51
    assert long_list["members"][-1] == "[cut: 9950 more]"
    assert long_text.request_body is not None
    assert long_text.request_body.endswith("more characters]")
    assert long_text.answer_body == "y" * MAX_BODY + f"[cut: {70_000 - MAX_BODY} more characters]"


def test_deep_bodies_are_cut_off() -> None:
    for deep in (b'{"value":' * 500 + b"1" + b"}" * 500, b'{"value":' + b"[" * 900 + b"]" * 900 + b"}"):
        told = describe(SCIMRequest("POST", "Users", body=deep)).request_body
        assert told is not None
        assert "[redacted: 1 entries]" in told


def test_text_that_no_database_takes_is_made_fit() -> None:
    row = describe(SCIMRequest("BREWCOFFEE", "a\0b\ud800" + "x" * 5_000, (("count", "\ud800"),)))

    row.path.encode()
    assert "\0" not in row.path
    assert row.path.endswith("[cut]")
    assert row.method == "BREWCOFF"
    assert row.query == "count=%3F"


@given(DOCUMENTS)
def test_redaction_takes_whatever_is_sent(document: object) -> None:
    assert isinstance(kept(document), dict)
