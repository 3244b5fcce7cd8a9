"""Rows as resources."""

import json
from dataclasses import replace

from directory.ids import GroupId, MemberId, RoleId, ScopeId, UserId
from directory.schema import CORE_USER, ENTERPRISE, GROUP, MEMBER
from provisioning.resources import GroupMember, GroupResource, UserResource
from provisioning.state import Seat
from scim.projection import read_projection
from scim.resources import WHOLE, Base, dump_json, group_document, stream_group, user_document
from tests.builders import MONDAY

BASE = Base("https://usher.example/scim/v2/d")
ADA = UserResource(
    UserId("u"),
    3,
    MONDAY,
    MONDAY,
    {"userName": "ada", "active": True},
    MemberId("m"),
    Seat.SEATED,
    is_held=False,
)
STAFF = GroupResource(GroupId("g"), "", "Staff", 2, MONDAY, MONDAY)


def test_user_is_what_the_client_said_with_what_is_ours() -> None:
    row = replace(
        ADA,
        resource={**ADA.resource, ENTERPRISE: {"department": "R"}},
        groups=((GroupId("g"), "Staff"),),
        grants=((RoleId("Member"), ScopeId("s"), "Nordhem"),),
    )

    told = json.loads(dump_json(user_document(row, BASE)))

    assert told == {
        "schemas": [CORE_USER, ENTERPRISE, MEMBER],
        "id": "u",
        "userName": "ada",
        "active": True,
        ENTERPRISE: {"department": "R"},
        "groups": [{"value": "g", "$ref": f"{BASE.url}/Groups/g", "display": "Staff", "type": "direct"}],
        MEMBER: {
            "memberId": "m",
            "seat": "seated",
            "held": False,
            "grants": [{"role": "Member", "scope": "s", "display": "Member @ Nordhem"}],
        },
        "meta": {
            "resourceType": "User",
            "created": "2026-03-02T09:00:00Z",
            "lastModified": "2026-03-02T09:00:00Z",
            "location": f"{BASE.url}/Users/u",
            "version": 'W/"3"',
        },
    }


def test_schemas_name_only_what_is_there() -> None:
    assert user_document(ADA, BASE)["schemas"] == [CORE_USER, MEMBER]


def test_streamed_group_is_the_group() -> None:
    members = [GroupMember("a", "Ada"), GroupMember("b", "Bob"), GroupMember("h", "Inner", is_group=True)]
    named = replace(STAFF, client_id="G-1", display_name='"],"members":[')

    for row in (STAFF, named):
        for projection in (
            WHOLE,
            *(read_projection(name, "", GROUP) for name in ("members.value", "displayName")),
        ):
            chunks = [members[:2], members[2:]] if projection.shows_members else []
            streamed = json.loads(b"".join(stream_group(row, BASE, projection, chunks)))
            whole = json.loads(dump_json(group_document(row, BASE, projection, members)))
            assert streamed == whole


def test_group_without_members_has_no_such_attribute() -> None:
    told = json.loads(b"".join(stream_group(STAFF, BASE, WHOLE, [])))

    assert "members" not in told
    assert told["displayName"] == "Staff"
