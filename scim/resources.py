"""Stored rows as SCIM resources. No model of pydantic's is made on the way: a list of users is read by the thousand.

Every address of a resource is made of the configured base, never of what a client sent as `Host`.
Source: RFC 7643 sections 3.1, 4.1, 4.2 and 8; RFC 7644 section 3.14.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE, MEMBER
from provisioning.resources import GroupMember, GroupResource, UserResource
from scim.conditions import render_version
from scim.projection import Projection

PREFIX = "/scim/v2"
"""Where the endpoint of every directory begins, below the public address."""

LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
WHOLE = Projection()


@dataclass(frozen=True, slots=True)
class Base:
    """The public address of one directory's endpoint, without a slash at its end."""

    url: str

    def user(self, user_id: str) -> str:
        return f"{self.url}/Users/{user_id}"

    def group(self, group_id: str) -> str:
        return f"{self.url}/Groups/{group_id}"


def dump_json(document: object) -> bytes:
    """JSON with moments in UTC. Source: RFC 7643 section 2.3.5"""
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


def user_document(row: UserResource, base: Base, projection: Projection = WHOLE) -> dict[str, object]:
    """A user: what the client said, as it said it, with what is ours to say."""
    location = base.user(row.user_id)
    schemas = [CORE_USER, MEMBER]
    document: dict[str, object] = {"schemas": schemas, "id": row.user_id, **row.resource}
    if ENTERPRISE in document:
        schemas.insert(1, ENTERPRISE)
    if row.groups:
        document["groups"] = [
            {"value": group_id, "$ref": base.group(group_id), "display": name, "type": "direct"}
            for group_id, name in row.groups
        ]
    member: dict[str, object] = {"memberId": row.member_id, "seat": row.seat.value, "held": row.is_held}
    if row.grants:
        member["grants"] = [
            {"role": role, "scope": scope_id, "display": f"{role} @ {name}"}
            for role, scope_id, name in row.grants
        ]
    document[MEMBER] = member
    document["meta"] = _meta("User", row, location)
    return projection.apply(document)


def group_document(
    row: GroupResource,
    base: Base,
    projection: Projection = WHOLE,
    members: Sequence[GroupMember] = (),
) -> dict[str, object]:
    """A group with the members given."""
    document = _group_without_members(row, base)
    if members:
        document["members"] = [member_entry(member, base) for member in members]
    return projection.apply(document)


def member_entry(member: GroupMember, base: Base) -> dict[str, object]:
    address = base.group(member.id) if member.is_group else base.user(member.id)
    kind = "Group" if member.is_group else "User"
    return {"value": member.id, "$ref": address, "type": kind, "display": member.display}


def stream_group(
    row: GroupResource, base: Base, projection: Projection, chunks: Iterable[Sequence[GroupMember]]
) -> Iterator[bytes]:
    """A group's JSON in pieces, one for each chunk of members, so that memory does not follow the group's size."""
    head = dump_json(projection.apply(_group_without_members(row, base)))[:-1]
    is_first = True
    for chunk in chunks:
        entries = [member_entry(member, base) for member in chunk]
        if not projection.is_whole:
            entries = [projection.apply_to_member(entry) for entry in entries]
        piece = dump_json(entries)[1:-1]
        yield head + b',"members":[' + piece if is_first else b"," + piece
        is_first = False
    # An attribute without values is left out. Source: RFC 7643 section 2.5
    yield head + b"}" if is_first else b"]}"


def _group_without_members(row: GroupResource, base: Base) -> dict[str, object]:
    document: dict[str, object] = {"schemas": [CORE_GROUP], "id": row.group_id}
    if row.client_id:
        document["externalId"] = row.client_id
    document["displayName"] = row.display_name
    document["meta"] = _meta("Group", row, base.group(row.group_id))
    return document


def _meta(resource_type: str, row: UserResource | GroupResource, location: str) -> dict[str, object]:
    return {
        "resourceType": resource_type,
        "created": row.created_at,
        "lastModified": row.updated_at,
        "location": location,
        "version": render_version(row.version),
    }
