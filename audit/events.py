"""The schema of an audit event and the closed registry of actions.

Knows what an event may say, not who writes it or where it is kept. An action that no code writes is a fault:
remove it, or write it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from audit.actors import Actor
from directory.ids import EventId, OrganisationId

JSONScalar = str | int | bool | None
JSONValue = JSONScalar | tuple[str, ...]

PII_PREFIX = "pii:"
"""What every reference to personal data begins with. The clear value is kept beside the log, never in it."""

ERASED = "[erased]"
"""What stands in place of a clear name that was erased, wherever events are shown."""

PROFILE = "profile"
"""The path of a person's names, mails, DN, external id and user name: references only."""

CAUSE_KINDS = frozenset(
    {
        "admin_action",
        "api_request",
        "block",
        "command",
        "directory_change",
        "guard",
        "group_change",
        "invitation",
        "last_admin",
        "login",
        "mapping_rule",
        "membership",
        "operator",
        "override",
        "owner_transfer",
        "plan_change",
        "retention",
        "role_change",
        "run",
        "scim_request",
        "scope_change",
        "seat_policy",
        "settings_change",
        "sso_assertion",
        "system",
    }
)
"""Why things happen. Closed, so that a log can be filtered by it."""


class Outcome(StrEnum):
    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"
    NOOP = "noop"


@dataclass(frozen=True, slots=True)
class Target:
    """What the event is about. `pii` refers to the clear name, which never stands in the body.

    `pii` is a reference with its prefix, or the bare UUID, which is rendered with it. `role` is `subject` for
    what changed and `object` for the other thing that took part.
    """

    type: str
    id: str
    role: str = "subject"
    pii: str = ""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One path of one target before and after. The path must be on the action's allow-list.

    A tuple is a set and is rendered sorted. What is longer than 512 bytes is rendered as its digest and
    length.
    """

    path: str
    before: JSONValue
    after: JSONValue


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it happened. `root` and `parent` are events; a root event has neither. `kind` is one of
    `CAUSE_KINDS`.
    """

    kind: str
    root: EventId | None = None
    parent: EventId | None = None
    rule_id: str = ""
    rule_version: int = 0
    group_id: str = ""
    run_id: str = ""
    scim_request_id: str = ""
    login_id: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A stable code and the numbers that go with it, e.g. `seat_limit_reached` with limit and used."""

    code: str
    numbers: tuple[tuple[str, JSONScalar], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One audit event before it is rendered. `salt` is 16 random bytes; `time` is aware UTC.

    `address` is a reference to where the request came from, in a form of `Target.pii`.
    """

    id: EventId
    organisation: OrganisationId
    time: datetime
    salt: bytes
    action: str
    outcome: Outcome
    actor: Actor
    targets: tuple[Target, ...]
    cause: Cause
    changes: tuple[FieldChange, ...] = ()
    reason: Reason | None = None
    request_id: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What an event of one action may say.

    `label` is a sentence for people without its full stop. Words in braces are `actor`, `subject`, `object`,
    or a path: its new value, else its old one (`{role}`), or one of the two (`{kind.before}`,
    `{kind.after}`). A part in square brackets is left out when one of its words is absent.

    `paths` is the allow-list. `open_paths` allows every path that begins with it, for names that the
    catalogue or a kind of directory decides. A success must carry all paths of `required`, and those are
    never cut to a digest.
    """

    name: str
    label: str
    paths: frozenset[str]
    open_paths: str = ""
    required: frozenset[str] = frozenset()
    needs_target: bool = True
    needs_organisation: bool = True


def _action(
    name: str,
    label: str,
    *paths: str,
    open_paths: str = "",
    required: tuple[str, ...] = (),
    needs_target: bool = True,
    needs_organisation: bool = True,
) -> ActionSpec:
    return ActionSpec(
        name=name,
        label=label,
        paths=frozenset(paths),
        open_paths=open_paths,
        required=frozenset(required),
        needs_target=needs_target,
        needs_organisation=needs_organisation,
    )


# What a directory said about one person. `attributes` holds the names of the attributes that changed, not
# values.
_USER = ("active", PROFILE, "attributes", "member_id")
# What became of the person. `user_id` and `directory_id` say by which directory user; `origin` by which
# statement.
_MEMBER = (
    "active",
    PROFILE,
    "attributes",
    "user_id",
    "directory_id",
    "linked_by",
    "origin",
    "seat",
    "grants",
    "sessions_ended",
)
_BLOCK = ("blocked", "active", "reason")
_GRANT = ("role", "scope_id", "origin", "override_id", "invitation_id", "rule_id", "group_id", "ends_at")
_OVERRIDE = ("grants", "reason", "ends_at", "expired")
_SEAT = ("seat", "limit", "used", "policy", "plan", "waiting_since", "waiting")
_SEATS = ("seat_limit", "limit", "used", "plan", "policy", "waiting", "over", "threshold")
_GROUP = ("display_name", "external_id", "directory_id", "active", "members", "subgroups")
# In group.member_added and group.member_removed the user is the subject and the group the object, so that the
# log of a person shows them. `member` is the user's id.
_EDGE = ("display_name", "directory_id", "member", "member_id", "subgroup")
_EFFECT = (
    "change",
    "affected",
    "gained",
    "lost",
    "seats_before",
    "seats_after",
    "seat_limit",
    "waiting",
    "plan_hash",
    "access_version",
)
_MAPPING = ("match", "role", "scope_id", "priority", "version", "state", "directory_id", "group_id")
_SCOPE = ("kind", "name", "host_id", "parents")
_ROLE_DEFINITION = ("label", "permissions", "scope_kinds", "rank", "administrator_equivalent")
_INVITATION = ("role", "scope_id", "ends_at", "member_id", "state", "expired", PROFILE)
_DIRECTORY = ("kind", "name", "settings", "default_role", "priority", "mode")
# What one command counts on the write path, for a run that reports the sum of its batches.
_COUNTED = (
    "users_created",
    "users_updated",
    "users_deactivated",
    "users_reactivated",
    "users_returned",
    "users_deleted",
    "users_unknown",
    "members_created",
    "members_linked",
    "members_deactivated",
    "members_reactivated",
    "members_deleted",
    "members_unknown",
    "groups_renamed",
    "groups_unknown",
    "nestings_added",
    "nestings_removed",
    "subgroups_unknown",
    "grants_opened",
    "grants_closed",
    "seats_seated",
    "seats_waiting",
    "seats_none",
    "changes_held",
)
_RUN = (
    "state",
    "plan_hash",
    "seen",
    "users_seen",
    "groups_seen",
    "rejected",
    "unknown_references",
    "groups_created",
    "groups_deleted",
    "memberships_added",
    "memberships_removed",
    "changes_failed",
    "events",
    *_COUNTED,
)
_READING = (
    "filter",
    "rows",
    "format",
    "query",
    "order",
    "since",
    "until",
    "first",
    "last",
    "sha256",
    "bytes",
)

# What a pushing directory has taken away within the hour, and of how much.
_THRESHOLD = ("limits", "users_lost", "active_users", "memberships_lost", "memberships", "groups", "hold")

_CONNECTION = ("name", "version", "test_id", "failed_check", "actor")
_CERTIFICATE = ("sha256", "state", "not_after", "ends_at", "days", "owner")
_METADATA = (
    "sha256",
    "valid_until",
    "certificates_added",
    "certificates_retired",
    "failing_since",
    "entity_id",
)
_DOMAIN = ("domain", "state", "missing_since")
# `session_id` is our own id of the session, never what the browser or the identity provider holds.
_LOGIN = (
    "connection_id",
    "session_id",
    "reference",
    "check",
    "authn_instant",
    "assertion_id",
    "issuer",
    "groups",
    "linked_by",
    "sessions_ended",
    "client_id",
    "kind",
    "attempts",
    "codes",
)

# Which secret of a directory, and whether it is there; never what it is.
_DIRECTORY_SECRET = ("name", "secret_name", "state")

# A key of the service by its id, and how many values it has sealed anew.
_KEY = ("key_id", "values")

# Where the log is sent to; a secret by its name only. A webhook of an environment belongs to no organisation.
_STREAM = (
    "name",
    "destination",
    "format",
    "version",
    "state",
    "reason",
    "secrets_changed",
    "first",
    "last",
    "leaf_index",
    "event_id",
    "environment",
    "events",
)

# `kind` is said of tokens that open no directory.
_TOKEN = ("name", "prefix", "directory_id", "expires_at", "days", "kind")

_SPECS = (
    _action("user.created", "{actor} added {subject} to the directory", *_USER),
    _action("user.updated", "{actor} changed {subject} in the directory[ ({attributes})]", *_USER),
    _action("user.deactivated", "{actor} deactivated {subject} in the directory", *_USER),
    _action("user.reactivated", "{actor} reactivated {subject} in the directory", *_USER),
    _action("user.deleted", "{actor} deleted {subject} from the directory", *_USER),
    _action("member.created", "{actor} made {subject} a member", *_MEMBER),
    _action("member.updated", "{actor} changed {subject}[ ({attributes})]", *_MEMBER),
    _action("member.deactivated", "{actor} deactivated {subject}", *_MEMBER),
    _action("member.reactivated", "{actor} reactivated {subject}", *_MEMBER),
    _action("member.deleted", "{actor} ended the membership of {subject}", *_MEMBER),
    _action("member.linked", "{actor} linked {subject}[ to {object}][ by {linked_by}]", *_MEMBER),
    _action(
        "member.change_held",
        "{actor} would have left the organisation without an Admin; the change to {subject} is held",
        *_MEMBER,
        "role",
        "scope_id",
        "change",
    ),
    _action(
        "member.change_released",
        "{actor} applied the change to {subject} that was held",
        *_MEMBER,
        "role",
        "scope_id",
        "change",
    ),
    _action(
        "member.change_staged",
        "{actor} went beyond the limits of the guard; what {subject} would lose is kept until it is allowed",
        *_MEMBER,
    ),
    _action("member.staged_allowed", "{actor} let the staged change to {subject} through", *_MEMBER),
    _action(
        "member.staged_rejected", "{actor} rejected the staged change to {subject}[ by {object}]", *_MEMBER
    ),
    _action(
        "member.staged_ended", "{actor} left the staged change to {subject} with nothing to take", *_MEMBER
    ),
    _action("block.set", "{actor} blocked {subject}[: {reason}]", *_BLOCK),
    _action("block.lifted", "{actor} lifted the block of {subject}", *_BLOCK),
    _action(
        "role.granted",
        "{actor} granted {role} at {scope_id} to {subject}",
        *_GRANT,
        required=("role", "scope_id"),
    ),
    _action(
        "role.revoked",
        "{actor} took {role} at {scope_id} from {subject}",
        *_GRANT,
        required=("role", "scope_id"),
    ),
    _action(
        "override.set", "{actor} gave {subject} exactly {grants}[ until {ends_at}][: {reason}]", *_OVERRIDE
    ),
    _action("override.ended", "{actor} ended the override of {subject}", *_OVERRIDE),
    _action("seat.assigned", "{actor} gave {subject} a seat[, {used} of {limit}]", *_SEAT),
    _action(
        "seat.released",
        "{actor} freed the place of {subject}[, who was {seat.before}][, {used} of {limit}]",
        *_SEAT,
    ),
    _action(
        "seat.denied", "{actor} asked for a seat for {subject} and got none[, {used} of {limit}]", *_SEAT
    ),
    _action(
        "seat.waiting", "{actor} put {subject} on the waiting list[, {used} of {limit} seats used]", *_SEAT
    ),
    _action(
        "seat.limit_changed",
        "{actor} changed the seats[ from {limit.before}][ to {limit.after}][ (plan {plan})]",
        *_SEATS,
        needs_target=False,
    ),
    _action(
        "seat.threshold_reached",
        "{actor} filled[ {threshold} % of] the seats[, {used} of {limit}]",
        *_SEATS,
        needs_target=False,
    ),
    _action("group.created", "{actor} added {subject}[ named {display_name}]", *_GROUP),
    _action("group.deleted", "{actor} deleted {subject}[ named {display_name}]", *_GROUP),
    _action(
        "group.renamed",
        "{actor} renamed {subject}[ from {display_name.before}][ to {display_name.after}]",
        *_GROUP,
    ),
    _action("group.updated", "{actor} changed {subject}[ to the external id {external_id}]", *_GROUP),
    _action(
        "group.member_added",
        "{actor} added {subject}[ to {object}]",
        *_EDGE,
        required=("member",),
    ),
    _action(
        "group.member_removed",
        "{actor} removed {subject}[ from {object}]",
        *_EDGE,
        required=("member",),
    ),
    _action(
        "group.subgroup_added",
        "{actor} nested group {subgroup} in {subject}",
        *_EDGE,
        required=("subgroup",),
    ),
    _action(
        "group.subgroup_removed",
        "{actor} took group {subgroup} out of {subject}",
        *_EDGE,
        required=("subgroup",),
    ),
    _action(
        "mapping.created",
        "{actor} wrote {subject}[: {match} gives {role}][ at {scope_id}]",
        *_MAPPING,
        *_EFFECT,
    ),
    _action(
        "mapping.updated",
        "{actor} changed {subject}[ to version {version}]",
        *_MAPPING,
        *_EFFECT,
    ),
    _action("mapping.deleted", "{actor} deleted {subject}", *_MAPPING, *_EFFECT),
    _action(
        "mapping.previewed",
        "{actor} previewed a change[ of {subject}][: {gained} gain, {lost} lose]"
        "[, seats {seats_before} to {seats_after}]",
        *_MAPPING,
        *_EFFECT,
        needs_target=False,
    ),
    _action(
        "mapping.applied",
        "{actor} applied a change[ of {subject}][: {gained} gained, {lost} lost]"
        "[, seats {seats_before} to {seats_after}]",
        *_MAPPING,
        *_EFFECT,
        needs_target=False,
    ),
    _action("mapping.dangling", "{actor} left {subject} dangling; it grants nothing", *_MAPPING, *_EFFECT),
    _action("scope.created", "{actor} added {subject}[ of the kind {kind}][ named {name}]", *_SCOPE),
    _action("scope.updated", "{actor} changed {subject}", *_SCOPE),
    _action("scope.deleted", "{actor} deleted {subject}", *_SCOPE),
    _action("role_definition.created", "{actor} defined {subject}[ named {label}]", *_ROLE_DEFINITION),
    _action("role_definition.updated", "{actor} changed {subject}[ named {label}]", *_ROLE_DEFINITION),
    _action("role_definition.deleted", "{actor} deleted {subject}[ named {label}]", *_ROLE_DEFINITION),
    _action("invitation.created", "{actor} invited {subject}[ as {role}][ at {scope_id}]", *_INVITATION),
    _action("invitation.accepted", "{actor} accepted {subject}[ as {member_id}]", *_INVITATION),
    _action("invitation.ended", "{actor} ended {subject}", *_INVITATION),
    _action("owner.transferred", "{actor} made {subject} the owner[ in place of {owner.before}]", "owner"),
    _action(
        "organisation.created",
        "{actor} created the organisation[ {name}][ with the plan {plan}]",
        "name",
        "environment",
        "plan",
        "seat_limit",
        "owner",
        "seat_policy",
        "resolution",
        needs_target=False,
    ),
    _action("settings.updated", "{actor} changed the settings", open_paths="settings.", needs_target=False),
    _action("domain.claimed", "{actor} claimed the domain {domain}", *_DOMAIN, needs_target=False),
    _action("domain.verified", "{actor} verified the domain {domain}", *_DOMAIN, needs_target=False),
    _action(
        "domain.missing",
        "{actor} did not find the proof of the domain {domain}",
        *_DOMAIN,
        needs_target=False,
    ),
    _action("domain.suspended", "{actor} suspended the domain {domain}", *_DOMAIN, needs_target=False),
    _action("domain.released", "{actor} released the domain {domain}", *_DOMAIN, needs_target=False),
    _action(
        "connection.created",
        "{actor} added {subject}[ named {name}]",
        *_CONNECTION,
        open_paths="settings.",
    ),
    _action(
        "connection.updated",
        "{actor} changed {subject}[ named {name}][ to version {version}]",
        *_CONNECTION,
        open_paths="settings.",
    ),
    _action("connection.deleted", "{actor} removed {subject}[ named {name}]", *_CONNECTION),
    _action(
        "connection.tested",
        "{actor} tested signing in over {subject}[; the check {failed_check} failed]",
        *_CONNECTION,
    ),
    _action("connection.enforced", "{actor} made signing in over {subject} obligatory", *_CONNECTION),
    _action("connection.enforcement_lifted", "{actor} lifted the obligation to sign in", *_CONNECTION),
    _action("connection.enforcement_suspended", "{actor} suspended the obligation to sign in", *_CONNECTION),
    _action("connection.enforcement_resumed", "{actor} resumed the obligation to sign in", *_CONNECTION),
    _action(
        "stream.created",
        "{actor} added {subject}[ named {name}][ to {destination}]",
        *_STREAM,
        needs_organisation=False,
    ),
    _action(
        "stream.updated",
        "{actor} changed {subject}[ named {name}][ to {destination}]",
        *_STREAM,
        needs_organisation=False,
    ),
    _action("stream.tested", "{actor} tested {subject}[ named {name}]", *_STREAM, needs_organisation=False),
    _action("stream.paused", "{actor} paused {subject}[ named {name}]", *_STREAM, needs_organisation=False),
    _action("stream.resumed", "{actor} resumed {subject}[ named {name}]", *_STREAM, needs_organisation=False),
    _action("stream.removed", "{actor} removed {subject}[ named {name}]", *_STREAM, needs_organisation=False),
    _action(
        "stream.replayed",
        "{actor} had {subject} send the events {first} to {last} again",
        *_STREAM,
        needs_organisation=False,
    ),
    _action(
        "stream.dead_lettered",
        "{actor} left the event at {leaf_index} out of {subject}[: {reason}]",
        *_STREAM,
        needs_organisation=False,
    ),
    _action(
        "stream.failed",
        "{actor} stopped {subject}[ named {name}][: {reason}]",
        *_STREAM,
        needs_organisation=False,
    ),
    _action(
        "stream.stuck",
        "{actor} does not get through to {subject}[ named {name}][: {reason}]",
        *_STREAM,
        needs_organisation=False,
    ),
    _action(
        "stream.recovered",
        "{actor} gets through to {subject}[ named {name}] again",
        *_STREAM,
        needs_organisation=False,
    ),
    _action("metadata.taken", "{actor} took the metadata of {subject}", *_METADATA, open_paths="settings."),
    _action("metadata.failed", "{actor} could not read the metadata of {subject} anew", *_METADATA),
    _action("certificate.added", "{actor} added a certificate of {subject}[ as {state}]", *_CERTIFICATE),
    _action("certificate.updated", "{actor} made a certificate of {subject} {state}", *_CERTIFICATE),
    _action("certificate.retired", "{actor} retired a certificate of {subject}", *_CERTIFICATE),
    _action(
        "certificate.expiring",
        "{actor} noted that a certificate of {subject} ends within {days} days[, at {not_after}]",
        *_CERTIFICATE,
        required=("sha256", "days"),
    ),
    _action("sso.login", "{actor} signed in {subject}[ over {object}]", *_LOGIN),
    _action(
        "sso.login_denied",
        "{actor} was not let in[ over {object}][; reference {reference}]",
        *_LOGIN,
        needs_target=False,
    ),
    _action("sso.logout", "{actor} signed out {subject}[, {sessions_ended} sessions]", *_LOGIN),
    _action("sso.identity_moved", "{actor} moved a login[ of {object}] to {subject}", *_LOGIN),
    _action("breakglass.armed", "{actor} made recovery codes for {subject}", *_LOGIN),
    _action("breakglass.used", "{actor} got in by a recovery code as {subject}", *_LOGIN),
    _action(
        "client.created",
        "{actor} registered the application {name}",
        "name",
        "client_id",
        "environment",
        "redirect_uris",
        needs_target=False,
        needs_organisation=False,
    ),
    _action(
        "client.deleted",
        "{actor} removed the application {name}",
        "name",
        "client_id",
        "environment",
        needs_target=False,
        needs_organisation=False,
    ),
    _action(
        "signing_key.rotated",
        "{actor} changed the key that signs ID tokens[ to {key_id}]",
        "key_id",
        "state",
        needs_target=False,
        needs_organisation=False,
    ),
    _action(
        "directory.created", "{actor} added {subject}[ named {name}]", *_DIRECTORY, open_paths="settings."
    ),
    _action(
        "directory.updated", "{actor} changed {subject}[ named {name}]", *_DIRECTORY, open_paths="settings."
    ),
    _action(
        "directory.secret_changed",
        "{actor} changed the secret {secret_name} of {subject}[ named {name}]: it is {state}",
        *_DIRECTORY_SECRET,
        required=_DIRECTORY_SECRET,
    ),
    _action(
        "token.created",
        "{actor} created the[ {kind}] token {name}[ for {object}][, good until {expires_at}]",
        *_TOKEN,
        required=("name", "prefix"),
    ),
    _action(
        "token.revoked",
        "{actor} revoked the[ {kind}] token {name}[ of {object}][ from {expires_at} on]",
        *_TOKEN,
        required=("name", "prefix"),
    ),
    _action(
        "token.expiring",
        "{actor} noted that the token {name}[ of {object}] ends within {days} days[, at {expires_at}]",
        *_TOKEN,
        required=("name", "prefix", "days"),
    ),
    _action(
        "environment.loaded",
        "{actor} loaded the environment {environment}[, catalogue {catalogue}]",
        "environment",
        "catalogue",
        "catalogue_sha256",
        "version",
        "roles",
        "permissions",
        "plans",
        "scope_kinds",
        "organisations",
        needs_target=False,
        needs_organisation=False,
    ),
    _action(
        "key.added",
        "{actor} added the key {key_id} to the service's key ring",
        *_KEY,
        needs_organisation=False,
    ),
    _action(
        "key.rotated",
        "{actor} sealed {values} values anew by the key {key_id}",
        *_KEY,
        needs_organisation=False,
    ),
    _action(
        "key.dropped",
        "{actor} dropped the key {key_id} from the service's key ring",
        *_KEY,
        needs_organisation=False,
    ),
    _action(
        "log.key_rotated",
        "{actor} changed the keys of the log: {key_id} is {state}",
        "key_id",
        "vkey",
        "state",
        required=("key_id", "vkey", "state"),
        needs_organisation=False,
    ),
    _action(
        "log.restore_declared",
        "{actor} declared that the database was restored: {signed} checkpoints were signed, it has {found}",
        "signed",
        "found",
        required=("signed", "found"),
        needs_target=False,
        needs_organisation=False,
    ),
    _action(
        "log.retention_set",
        "{actor} set the record to be kept for {days} days",
        "days",
        required=("days",),
        needs_target=False,
    ),
    _action(
        "log.retention_applied",
        "{actor} let the events {first} to {last} go, which were older than {days} days",
        "first",
        "last",
        "root",
        "baseline",
        "days",
        required=("first", "last", "root", "baseline"),
        needs_target=False,
    ),
    _action(
        "log.hold_set",
        "{actor} put the record under a legal hold[ until {ends_at}][: {reason}]",
        "reason",
        "ends_at",
        needs_target=False,
    ),
    _action(
        "log.hold_lifted",
        "{actor} lifted the legal hold on the record",
        "reason",
        "ends_at",
        needs_target=False,
    ),
    _action(
        "log.pii_erased",
        "{actor} erased personal data from the record (people: {people}, references: {references})",
        "people",
        "references",
        "left_before",
        required=("people", "references"),
        needs_target=False,
    ),
    _action(
        "review.started",
        "{actor} began {subject}[ of {grants} grants][ as of {as_of}]",
        "as_of",
        "grants",
        "sha256",
        required=("as_of", "sha256"),
    ),
    _action(
        "review.decided",
        "{actor} decided to {decision} {role} at {scope_id} of {subject}[ in {object}][: {reason}]",
        "decision",
        "grant",
        "role",
        "scope_id",
        "reason",
        required=("decision", "grant", "role", "scope_id"),
    ),
    _action(
        "review.finished",
        "{actor} finished {subject}[: {kept} kept][, {revoked} to be revoked][, {undecided} undecided]",
        "sha256",
        "kept",
        "revoked",
        "undecided",
        required=("sha256",),
    ),
    _action("sync.started", "{actor} started to read {subject}", *_RUN),
    _action("sync.completed", "{actor} completed[: {seen} entries seen][, {events} events]", *_RUN),
    _action("sync.failed", "{actor} failed and changed nothing", *_RUN),
    _action("sync.blocked", "{actor} was stopped by the guard", *_RUN),
    _action("guard.released", "{actor} let the held plan {plan_hash} of {subject} through", *_RUN),
    _action(
        "guard.threshold_crossed",
        "{actor} went beyond the limits of the guard of {subject}[: {limits}]"
        "[, {users_lost} of {active_users} active users][, {memberships_lost} of {memberships} memberships]",
        *_THRESHOLD,
        required=("limits",),
    ),
    _action("guard.refused", "{actor} refused the held plan {plan_hash} of {subject}", *_RUN),
    _action(
        "command.refused",
        "{actor} asked for {command}[ on {subject}] and was refused",
        "command",
        "plan_hash",
        "limit",
        "used",
        "role",
        "scope_id",
        "access_version",
        needs_target=False,
    ),
    _action(
        "log.read", "{actor} read the log[, {rows} events][, filter {filter}]", *_READING, needs_target=False
    ),
    _action(
        "scim_log.read",
        "{actor} read the request log[ of {subject}][, {rows} requests][, filter {filter}]",
        *_READING,
        "request",
    ),
    _action(
        "scim_log.replayed",
        "{actor} had the logged request {request} of {subject} done again",
        "request",
        "method",
        "as_request",
        required=("request",),
    ),
    _action(
        "export.created",
        "{actor} exported the log[, {rows} events][ as {format}][, filter {filter}]",
        *_READING,
        needs_target=False,
    ),
    _action(
        "export.downloaded",
        "{actor} took an export of the log as {format}[, {rows} events]",
        *_READING,
        needs_target=False,
    ),
)

ACTIONS: Mapping[str, ActionSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every action there is, by name."""
