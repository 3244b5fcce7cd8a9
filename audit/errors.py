"""Errors about audit events. All are faults: an event that cannot be written must not be left out."""


class AuditError(Exception):
    """Root of the package. `code` is a stable slug; the text says what, which one, and what to do."""

    code = "audit_error"


class OutsideModelError(AuditError):
    """A value that has no canonical form here. `path` leads to it, `$` being the whole."""

    code = "outside_model"

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(f"{message} at {path}")
        self.path = path


class EventError(AuditError):
    """An event that the schema refuses. `action` and `event_id` say which one."""

    code = "event_refused"

    def __init__(self, message: str, *, action: str, event_id: str) -> None:
        super().__init__(f"event {event_id!r} ({action}): {message}")
        self.action = action
        self.event_id = event_id


class UnknownActionError(EventError):
    """The registry has no such action."""

    code = "unknown_action"


class UnknownCauseError(EventError):
    """The kind of cause is not one of `CAUSE_KINDS`, or only one of root and parent is given."""

    code = "unknown_cause"


class PathNotAllowedError(EventError):
    """A changed path is not on the action's allow-list."""

    code = "path_not_allowed"


class MissingPartError(EventError):
    """The actor, a target, or a change that the action cannot do without is absent."""

    code = "missing_part"


class ClearNameError(EventError):
    """Clear text stands where only a reference to personal data may. The text itself is not repeated."""

    code = "clear_name"


class UnfitValueError(EventError):
    """A value of the wrong type, length or zone, or too large for a path that must name what changed."""

    code = "unfit_value"


class MalformedBodyError(AuditError):
    """Stored bytes that are no event body of a schema version that this release reads."""

    code = "malformed_body"


class ChainError(AuditError):
    """A cause chain that does not lead to its root. `event_id` is where the walk stopped."""

    code = "chain_broken"

    def __init__(self, message: str, *, event_id: str) -> None:
        super().__init__(f"cause chain stops at event {event_id!r}: {message}")
        self.event_id = event_id


class TreeError(AuditError):
    """A leaf, size or range that the tree does not have."""

    code = "tree_refused"


class NoteError(AuditError):
    """A signed note that is malformed or that no trusted key has signed. The text of it must not be used."""

    code = "note_refused"


class KeyFormatError(AuditError):
    """A verifier key that cannot be used. It is public and may be shown."""

    code = "key_refused"


class BundleError(AuditError):
    """Events or proofs that cannot make up a bundle."""

    code = "bundle_refused"


class UnmappedActionError(AuditError):
    """An action that has no form in the schema of another system."""

    code = "action_unmapped"
