"""The identifiers of the house, each a type of its own.

Every id but `ExternalId`, `RoleId`, `EnvironmentId` and `ClientId` is a UUIDv7 as lower-case text with hyphens; the
caller mints them and passes them in. `ExternalId` is what a directory uses for one of its own entries: opaque text.
"""

from collections.abc import Callable
from typing import NewType

EnvironmentId = NewType("EnvironmentId", str)
OrganisationId = NewType("OrganisationId", str)
DirectoryId = NewType("DirectoryId", str)
UserId = NewType("UserId", str)
GroupId = NewType("GroupId", str)
MemberId = NewType("MemberId", str)
ScopeId = NewType("ScopeId", str)
RoleId = NewType("RoleId", str)
RuleId = NewType("RuleId", str)
OverrideId = NewType("OverrideId", str)
InvitationId = NewType("InvitationId", str)
RunId = NewType("RunId", str)
EventId = NewType("EventId", str)
ExternalId = NewType("ExternalId", str)
ConnectionId = NewType("ConnectionId", str)
SessionId = NewType("SessionId", str)
ClientId = NewType("ClientId", str)
StreamId = NewType("StreamId", str)

NewId = Callable[[], str]
"""Mints a UUIDv7. Passed as an argument wherever a row or an event comes into being."""
