"""What the endpoint says about itself: configuration, resource types and schemas, made once and served as bytes.

The schemas come from scim2-models and are brought in line with `directory.schema`, which decides how values are read
and compared; a test holds the two together. Source: RFC 7643 sections 5 to 8, RFC 7644 section 4, RFC 9865 section 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    EnterpriseUser,
    ETag,
    Extension,
    Filter,
    Group,
    Mutability,
    Pagination,
    Patch,
    Resource,
    ResourceType,
    Schema,
    ServiceProviderConfig,
    Sort,
    User,
)

from directory.schema import CORE_GROUP, CORE_USER, ENTERPRISE, GROUP, MEMBER, USER, Attribute
from scim.cursors import TIMEOUT_SECONDS
from scim.limits import DEFAULT_COUNT, MAX_BULK_OPERATIONS, MAX_COUNT, MAX_LARGE_BODY
from scim.projection import OURS
from scim.resources import LIST_URN, Base, dump_json

_PLACE = "https://base.invalid"
"""Stands for the public address until an answer is made."""


class MemberGrant(ComplexAttribute):
    role: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The role that is granted."""

    scope: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The id of the scope at which it is granted."""

    display: Annotated[str | None, Mutability.read_only] = None
    """Role and scope in words."""


class Member(Extension):
    """What became of a user in the organisation."""

    __schema__ = URN(MEMBER)

    member_id: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The id of the person in the organisation, whom users of several directories may share."""

    seat: Annotated[str | None, Mutability.read_only] = None
    """Whether the person has a seat: 'seated', 'waiting' or 'none'."""

    held: Annotated[bool | None, Mutability.read_only] = None
    """Whether the effect of a change waits, for another administrator or for an approval."""

    grants: Annotated[list[MemberGrant] | None, Mutability.read_only] = None
    """The roles that the person holds, each with the scope it is granted at."""


class Discovery:
    """The discovery resources of every directory. `documentation` is the address of the guides, if there is one."""

    def __init__(self, documentation: str = "") -> None:
        self._documents = {
            shows_ours: _Documents(documentation, shows_ours=shows_ours) for shows_ours in (True, False)
        }

    def read(self, path: Sequence[str], base: Base, *, shows_ours: bool = True) -> bytes | None:
        """The resource at a path below the base; None where there is none. URNs are found in any case.

        `shows_ours` as in the profile of the directory that is asked.
        """
        document = self._documents[shows_ours].by_path.get("/".join(path).lower())
        return None if document is None else document.replace(_PLACE.encode(), base.url.encode())


class _Documents:
    """What the directories of some profiles say."""

    def __init__(self, documentation: str, *, shows_ours: bool) -> None:
        self.by_path: dict[str, bytes] = {}
        self._add("ServiceProviderConfig", _configuration(documentation))
        # An extension has no `returned`; one that no answer has unasked is told of among the schemas alone.
        user = User[EnterpriseUser | Member] if shows_ours else User[EnterpriseUser]
        self._add_list("ResourceTypes", [_resource_type(user), _resource_type(Group)])
        schemas = _schemas()
        if not shows_ours:
            _mark_ours(schemas)
        self._add_list("Schemas", schemas)

    def _add(self, path: str, document: Mapping[str, Any]) -> None:
        self.by_path[path.lower()] = dump_json(document)

    def _add_list(self, path: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """Source: RFC 7644 section 4: all of them in one list, whatever paging is asked for."""
        for document in documents:
            self._add(f"{path}/{document['id']}", document)
        number = len(documents)
        listed = {
            "schemas": [LIST_URN],
            "totalResults": number,
            "itemsPerPage": number,
            "startIndex": 1,
            "Resources": documents,
        }
        self._add(path, listed)


def _dump(resource: Resource[Any], resource_type: str, path: str) -> dict[str, Any]:
    """A resource without its null values, with its own address."""
    document = resource.model_dump()
    return {**document, "meta": {"resourceType": resource_type, "location": f"{_PLACE}/{path}"}}


def _configuration(documentation: str) -> dict[str, Any]:
    configuration = ServiceProviderConfig(
        documentation_uri=documentation or None,  # type: ignore[arg-type]  # pydantic reads the text
        patch=Patch(supported=True),
        bulk=Bulk(supported=True, max_operations=MAX_BULK_OPERATIONS, max_payload_size=MAX_LARGE_BODY),
        filter=Filter(supported=True, max_results=MAX_COUNT),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=True),
        pagination=Pagination(
            cursor=True,
            index=True,
            default_pagination_method=Pagination.DefaultPaginationMethod.index,
            default_page_size=DEFAULT_COUNT,
            max_page_size=MAX_COUNT,
            cursor_timeout=TIMEOUT_SECONDS,
        ),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="A token of the directory, in the header Authorization: Bearer TOKEN.",
                spec_uri="https://www.rfc-editor.org/rfc/rfc6750",  # type: ignore[arg-type]  # as above
                primary=True,
            )
        ],
    )
    return _dump(configuration, "ServiceProviderConfig", "ServiceProviderConfig")


def _resource_type(model: type[Resource[Any]]) -> dict[str, Any]:
    made = ResourceType.from_resource(model)
    return _dump(made, "ResourceType", f"ResourceTypes/{made.id}")


_REQUIRED = {"$ref": False, "active": True}
"""A model wants `manager.$ref`; clients that send `value` alone are right with us. Every user is active or not: where
a client does not say, it is, and nobody can take the attribute away."""

_NAMES = {
    CORE_USER: ("User", "A user account"),
    ENTERPRISE: ("Enterprise User", "A user in an enterprise"),
    MEMBER: ("Member", "What became of a user in the organisation"),
    CORE_GROUP: ("Group", "A group of users"),
}


def _schemas() -> list[dict[str, Any]]:
    """Schemas of resources and extensions, and those of the discovery resources. Source: RFC 7643 section 8.7"""
    ours: dict[str, tuple[type[Resource[Any] | Extension], Iterable[Attribute]]] = {
        CORE_USER: (User, USER.attributes.values()),
        ENTERPRISE: (EnterpriseUser, USER.extensions[ENTERPRISE].values()),
        MEMBER: (Member, USER.extensions[MEMBER].values()),
        CORE_GROUP: (Group, GROUP.attributes.values()),
    }
    documents = []
    for urn, (model, attributes) in ours.items():
        document = _dump(model.to_schema(), "Schema", f"Schemas/{urn}")
        document["name"], document["description"] = _NAMES[urn]
        document["attributes"] = _in_line(document["attributes"], attributes)
        documents.append(document)
    service_models: tuple[type[Resource[Any]], ...] = (ServiceProviderConfig, ResourceType, Schema)
    for service_model in service_models:
        schema = service_model.to_schema()
        documents.append(_dump(schema, "Schema", f"Schemas/{schema.id}"))
    return documents


def _mark_ours(documents: Iterable[dict[str, Any]]) -> None:
    """Announce that what is `OURS` is shown only where it is named. Source: RFC 7643 section 7"""
    schemas = {document["id"]: document for document in documents}
    for attribute in schemas[MEMBER]["attributes"]:
        attribute["returned"] = "request"
    for attribute in schemas[CORE_GROUP]["attributes"]:
        for sub in attribute.get("subAttributes", ()):
            if (attribute["name"], sub["name"]) == OURS[CORE_GROUP]:
                sub["returned"] = "request"


def _in_line(told: Iterable[dict[str, Any]], ours: Iterable[Attribute]) -> list[dict[str, Any]]:
    """Attributes as the models tell them, in so far as we have them, with our types, case and mutability."""
    known = {attribute.name: attribute for attribute in ours}
    return [_describe(entry, known[entry["name"]]) for entry in told if entry["name"] in known]


def _describe(told: dict[str, Any], ours: Attribute) -> dict[str, Any]:
    described = {
        **told,
        "type": ours.kind.value,
        "multiValued": ours.is_multi_valued,
        "caseExact": ours.is_case_exact,
        "mutability": ours.mutability.value,
    }
    described.setdefault("description", f"The {ours.name} of an entry.")
    if ours.name in _REQUIRED:
        described["required"] = _REQUIRED[ours.name]
    if ours.sub_attributes:
        described["subAttributes"] = _in_line(told["subAttributes"], ours.sub_attributes)
    return described
