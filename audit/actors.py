"""Who caused a change. Never absent."""

from dataclasses import dataclass

from directory.ids import DirectoryId, RunId


@dataclass(frozen=True, slots=True)
class TokenActor:
    """A SCIM client, by the id of its bearer token."""

    token_id: str
    directory_id: DirectoryId


@dataclass(frozen=True, slots=True)
class RunActor:
    """A synchronisation run of a pulled directory."""

    run_id: RunId
    directory_id: DirectoryId


@dataclass(frozen=True, slots=True)
class AdminActor:
    """A person of the organisation, or the operator. `on_behalf_of` marks support access."""

    admin_id: str
    session_id: str = ""
    is_operator: bool = False
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class LoginActor:
    """A person signing in, by the id of the login."""

    login_id: str


@dataclass(frozen=True, slots=True)
class ApiKeyActor:
    key_id: str


@dataclass(frozen=True, slots=True)
class SystemActor:
    """The service itself: `component` is the job that acted (`scheduler`, `seats`, `retention` ...)."""

    component: str


Actor = TokenActor | RunActor | AdminActor | LoginActor | ApiKeyActor | SystemActor
