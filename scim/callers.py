"""Who asks: one directory's client, with the settings of that directory that change an answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from audit.actors import Actor, TokenActor
from directory.ids import DirectoryId, OrganisationId
from provisioning.resources import StoredToken
from scim.profiles import PROFILES, Profile


@dataclass(frozen=True, slots=True)
class Caller:
    """`refuses_foreign_domains`: an address outside the organisation's verified domains is refused.

    `acting` is somebody else who does the client's request again, and whom events name in its place.
    """

    organisation_id: OrganisationId
    directory_id: DirectoryId
    token_id: str
    profile: Profile
    is_paused: bool = False
    refuses_foreign_domains: bool = False
    acting: Actor | None = None

    @property
    def actor(self) -> Actor:
        return self.acting or TokenActor(self.token_id, self.directory_id)


def caller_of(token: StoredToken) -> Caller:
    """The client that holds a token, as its directory is set."""
    return make_caller(token.organisation_id, token.directory_id, token.token_id, token.settings)


def make_caller(
    organisation_id: OrganisationId,
    directory_id: DirectoryId,
    token_id: str,
    settings: Mapping[str, str | int | bool],
) -> Caller:
    """A client of a directory with these settings. A profile that is not known is read as none."""
    return Caller(
        organisation_id=organisation_id,
        directory_id=directory_id,
        token_id=token_id,
        profile=PROFILES.get(str(settings.get("profile", "")), PROFILES["generic"]),
        is_paused=bool(settings.get("paused", False)),
        refuses_foreign_domains=bool(settings.get("refuse_foreign_domains", False)),
    )
