"""A wiring with one organisation, for the parts that work on their own."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from audit.actors import AdminActor
from directory.changes import GroupMatch, PutDirectory, PutRule
from directory.ids import DirectoryId, EnvironmentId, RoleId, RuleId
from service.administration import Administration
from service.directories import LDIFDirectory, ldif_settings
from service.environments import load_environment
from service.files import shipped_catalogue
from service.names import find_group
from service.opening import open_and_upgrade
from service.organisations import NewOrganisation, create_organisation
from service.runs import claim_directory, run_claimed
from service.settings import load_settings
from service.wiring import Wiring, utc_now
from tests.journeys.exports import BASE, export, people

OPERATOR = AdminActor("operator:test", is_operator=True)


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@contextmanager
def small_world(folder: Path, clock: HandClock, **environ: str) -> Iterator[Administration]:
    """An organisation on plan Pro with Anna and Ben in the group `staff`, who are Members by a rule."""
    settings = load_settings({"USHER_DATA": str(folder / "var"), **environ})
    with open_and_upgrade(settings, clock=clock) as wiring:
        load_environment(shipped_catalogue("minut") or "", source="minut.yaml", wiring=wiring, actor=OPERATOR)
        new = NewOrganisation(
            "Acme", EnvironmentId("minut"), "olivia@acme.example", "Olivia Owner", plan="Pro"
        )
        state = create_organisation(new, wiring=wiring, actor=OPERATOR)
        administration = Administration(wiring, state.organisation_id, OPERATOR)
        write_export(wiring, "anna", "ben")
        add_directory(administration)
        with administration.read() as reader:
            (directory,) = reader.directories()
        run_claimed(wiring, claim_directory(wiring, directory))
        with administration.read() as reader:
            group_id = find_group(reader, "staff").group_id
        rule = PutRule(RuleId(wiring.mint.id()), GroupMatch(group_id), RoleId("Member"), state.root_scope_id)
        administration.apply([rule])
        yield administration


def write_export(wiring: Wiring, *uids: str) -> None:
    (wiring.settings.exports / "hq.ldif").write_text(export(people(*uids), {"staff": uids}), encoding="utf-8")


def add_directory(
    administration: Administration, *, name: str = "hq", interval_seconds: int = 60
) -> DirectoryId:
    wiring = administration.wiring
    settings = ldif_settings(
        LDIFDirectory(
            "hq.ldif",
            "openldap",
            interval_seconds=interval_seconds,
            user_bases=(f"ou=people,{BASE}",),
            group_bases=(f"ou=groups,{BASE}",),
        ),
        now=wiring.clock(),
    )
    directory_id = DirectoryId(wiring.mint.id())
    administration.apply([PutDirectory(directory_id, "ldif", name, settings)])
    return directory_id


def active_mails(administration: Administration) -> set[str]:
    """User names of the directory users that are active, by the organisation's members."""
    with administration.read() as reader:
        records = reader.member_records(reader.member_ids(None, 1000))
    return {record.mail for record in records.values() if record.is_active}
