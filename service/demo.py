"""Two sample organisations, made on the first start and left as they are on every later one."""

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from audit.actors import AdminActor
from directory.changes import PutDirectory, RevokeToken
from directory.ids import DirectoryId, EnvironmentId, RoleId
from directory.schema import CORE_USER
from provisioning.ports import Reader
from provisioning.queries import seat_report
from provisioning.state import OrganisationState, StoredDirectory
from service.administration import Administration
from service.directories import LDIFDirectory, PushDirectory, ldif_settings, push_settings, scim_base_url
from service.environments import load_environment
from service.errors import FileAccessError
from service.files import shipped_catalogue
from service.organisations import NewOrganisation, create_organisation
from service.rule_files import compare_rules, parse_rules, resolve_rules
from service.runs import claim_directory, run_claimed
from service.scope_files import parse_scopes, plan_scopes
from service.tokens import issue_token
from service.wiring import Wiring

Tell = Callable[[str], None]

INTERVAL_SECONDS = 15
_DEMO_TOKEN = "demo"  # noqa: S105 - its name


@dataclass(frozen=True, slots=True)
class DemoOrganisation:
    """A sample organisation. `questions` are asked of it in what is printed: member, permission, scope.

    `push` names a SCIM directory beside its export, for identity providers and curl; empty for none.
    """

    environment: str
    name: str
    owner_name: str
    owner_mail: str
    domain: str
    plan: str
    seat_limit: int | None
    dialect: str
    bases: tuple[str, str]
    questions: tuple[tuple[str, str, str], ...]
    push: str = ""

    @property
    def file(self) -> str:
        """The export's name in the folder of exports."""
        return f"{self.environment}.ldif"


DEMO = (
    DemoOrganisation(
        environment="minut",
        name="Kusthem",
        owner_name="Maja Lindqvist",
        owner_mail="maja.lindqvist@kusthem.example",
        domain="kusthem.example",
        plan="Pro",
        seat_limit=None,
        dialect="openldap",
        bases=("ou=people,dc=kusthem,dc=example", "ou=groups,dc=kusthem,dc=example"),
        questions=(
            ("oskar.holm", "security_alarm.manage", "unit/gbg-linne-401"),
            ("oskar.holm", "sensor_data.view", "unit/gbg-linne-401"),
        ),
    ),
    DemoOrganisation(
        environment="minikai",
        name="Banksia Community Care",
        owner_name="Helen Papadopoulos",
        owner_mail="helen.papadopoulos@banksia.example",
        domain="banksia.example",
        plan="Custom",
        seat_limit=40,
        dialect="active_directory",
        bases=("OU=Staff,DC=banksia,DC=example", "OU=Groups,DC=banksia,DC=example"),
        questions=(
            ("abigail.stone@banksia.example", "minis.chat", "mini/mini-3101"),
            ("abigail.stone@banksia.example", "records.add", "mini/mini-3101"),
        ),
        push="cloud",
    ),
)


@dataclass(frozen=True, slots=True)
class PushDemo:
    """A SCIM directory to push to, and a token that lets in until the next start."""

    name: str
    base_url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PreparedDemo:
    """A sample organisation that stands. `is_new`: this start made it.

    `export` is the file to edit, or the address of the server.
    """

    demo: DemoOrganisation
    is_new: bool
    users: int
    groups: int
    seated: int
    seat_limit: int | None
    waiting: int
    export: Path | str
    push: PushDemo | None


def prepare_demo(wiring: Wiring, actor: AdminActor, *, tell: Callable[[str], None]) -> list[PreparedDemo]:
    """Make what is missing of the sample organisations. `tell` gets a line for each thing that was made."""
    return [prepare_one(demo, wiring, actor, tell, add_directory=_add_export) for demo in DEMO]


def prepare_one(
    demo: DemoOrganisation,
    wiring: Wiring,
    actor: AdminActor,
    tell: Tell,
    *,
    add_directory: Callable[[DemoOrganisation, Administration, Tell], tuple[StoredDirectory, Path | str]],
) -> PreparedDemo:
    """Make what is missing of one. `add_directory` gives its directory, with the place where it can be edited."""
    state = wiring.store.organisation(demo.name)
    is_new = state is None or state.owner_id is None
    if is_new:
        state = _create(demo, wiring, actor)
        tell(f"created organisation '{demo.name}' in environment {demo.environment}, plan {demo.plan}")
    assert state is not None  # noqa: S101 - created above when it was not there
    administration = Administration(wiring, state.organisation_id, actor)
    _import_scopes(demo, administration, tell)
    directory, export = add_directory(demo, administration, tell)
    if directory.last_success_at is None:
        run = run_claimed(wiring, claim_directory(wiring, directory))
        counters = run.record.counters
        tell(f"read {export}: {counters.get('users_seen', 0)} users, {counters.get('groups_seen', 0)} groups")
    _apply_rules(demo, administration, tell)
    push = _open_push(demo, administration) if demo.push else None
    with administration.read() as reader:
        return _summarise(demo, reader, directory.directory_id, export, push, is_new=is_new)


def sample_text(demo: DemoOrganisation, name: str) -> str:
    """A file of the sample data."""
    return files("service").joinpath("demo_data", demo.environment, name).read_text(encoding="utf-8")


def _create(demo: DemoOrganisation, wiring: Wiring, actor: AdminActor) -> OrganisationState:
    environment_id = EnvironmentId(demo.environment)
    if wiring.store.environment(environment_id) is None:
        text = shipped_catalogue(demo.environment) or ""
        load_environment(text, source=f"{demo.environment}.yaml", wiring=wiring, actor=actor)
    return create_organisation(
        NewOrganisation(
            name=demo.name,
            environment_id=environment_id,
            owner_mail=demo.owner_mail,
            owner_name=demo.owner_name,
            plan=demo.plan,
            seat_limit=demo.seat_limit,
            domains=(demo.domain,),
        ),
        wiring=wiring,
        actor=actor,
    )


def _import_scopes(
    demo: DemoOrganisation, administration: Administration, tell: Callable[[str], None]
) -> None:
    """Only into an organisation that has none: what somebody has changed since stays changed."""
    with administration.read() as reader:
        scopes = administration.wiring.models.get(reader, reader.organisation()).scopes
    if len(scopes) == 1:
        texts = parse_scopes(sample_text(demo, "scopes.yaml"), source="scopes.yaml")
        puts = plan_scopes(texts, scopes, administration.wiring.mint)
        administration.apply(puts)
        tell(f"imported {len(puts)} scopes")


def _add_export(
    demo: DemoOrganisation, administration: Administration, tell: Tell
) -> tuple[StoredDirectory, Path]:
    export = _copy_export(demo, administration.wiring.settings.exports, tell)
    return _add_directory(demo, administration), export


def _copy_export(demo: DemoOrganisation, folder: Path, tell: Callable[[str], None]) -> Path:
    export = folder / demo.file
    if not export.exists():
        try:
            export.write_text(sample_text(demo, "directory.ldif"), encoding="utf-8")
        except OSError as err:
            raise FileAccessError(
                f"'{export}' cannot be written ({err.strerror}); give this user the right to, or set USHER_EXPORTS"
            ) from err
        tell(f"wrote {export}")
    return export


def _add_directory(demo: DemoOrganisation, administration: Administration) -> StoredDirectory:
    with administration.read() as reader:
        known = next((known for known in reader.directories() if known.kind == "ldif"), None)
    if known is not None:
        return known
    wiring = administration.wiring
    user_base, group_base = demo.bases
    settings = ldif_settings(
        LDIFDirectory(
            file=demo.file,
            dialect=demo.dialect,
            interval_seconds=INTERVAL_SECONDS,
            user_bases=(user_base,),
            group_bases=(group_base,),
        ),
        now=wiring.clock(),
    )
    directory_id = DirectoryId(wiring.mint.id())
    administration.apply([PutDirectory(directory_id, "ldif", demo.environment, settings)])
    with administration.read() as reader:
        return next(known for known in reader.directories() if known.directory_id == directory_id)


def _open_push(demo: DemoOrganisation, administration: Administration) -> PushDemo:
    """A SCIM directory whose people get the lowest role, and a new token: nobody can show the last one again."""
    wiring = administration.wiring
    directory = _find_push(demo, administration)
    if directory is None:
        directory_id = DirectoryId(wiring.mint.id())
        settings = push_settings(PushDirectory())
        administration.apply([PutDirectory(directory_id, "scim", demo.push, settings, RoleId("Member"))])
        directory = _find_push(demo, administration)
    assert directory is not None  # noqa: S101 - added above when it was not there
    with administration.read() as reader:
        old = [
            token
            for token in reader.tokens(directory.directory_id)
            if token.name == _DEMO_TOKEN and token.revoked_at is None
        ]
    if old:
        administration.apply([RevokeToken(token.token_id) for token in old])
    issued = issue_token(administration, directory, name=_DEMO_TOKEN, expires_at=None)
    return PushDemo(demo.push, scim_base_url(wiring.settings, directory.directory_id), issued.text)


def _find_push(demo: DemoOrganisation, administration: Administration) -> StoredDirectory | None:
    with administration.read() as reader:
        return next((known for known in reader.directories() if known.name == demo.push), None)


def _apply_rules(demo: DemoOrganisation, administration: Administration, tell: Callable[[str], None]) -> None:
    wiring = administration.wiring
    with administration.read() as reader:
        model = wiring.models.get(reader, reader.organisation())
        if model.inputs.rules:
            return
        texts = parse_rules(sample_text(demo, "rules.yaml"), source="rules.yaml")
        wanted = resolve_rules(texts, reader, model, source="rules.yaml")
    changes = compare_rules((), wanted, wiring.mint).changes
    applied = administration.apply(changes)
    tell(f"applied {len(changes)} mapping rules: {applied.counters.get('grants_opened', 0)} grants given")


def _summarise(
    demo: DemoOrganisation,
    reader: Reader,
    directory_id: DirectoryId,
    export: Path | str,
    push: PushDemo | None,
    *,
    is_new: bool,
) -> PreparedDemo:
    counts = reader.counts(directory_id)
    report = seat_report(reader, shown=0)
    return PreparedDemo(
        demo=demo,
        is_new=is_new,
        users=counts["users"],
        groups=counts["groups"],
        seated=report.occupied,
        seat_limit=report.limit,
        waiting=report.waiting_count,
        export=export,
        push=push,
    )


def next_steps(prepared: Sequence[PreparedDemo], command: str) -> list[str]:
    """Commands to copy, with a word about each. `command` is how this shell calls usher."""
    first, second = prepared[0], prepared[1]
    organisation, other = (shlex.quote(demo.demo.name.split()[0]) for demo in (first, second))
    yes, no = ([shlex.quote(word) for word in question] for question in first.demo.questions)
    return [
        f"{command} seats -o {organisation}",
        f"{command} member list -o {organisation}",
        f"{command} decide {' '.join(yes)} -o {organisation}",
        f"{command} explain {' '.join(yes)} -o {organisation}",
        f"{command} explain {' '.join(no)} -o {organisation}",
        f"{command} explain {' '.join(map(shlex.quote, second.demo.questions[0]))} -o {other}",
        f"{command} rules list -o {organisation}",
        f"{command} environment show {first.demo.environment}",
        f"{command} audit list -o {organisation} --limit 20",
        f"{command} audit token create --name me --expires 1d -o {organisation}",
        f"{command} doctor",
    ]


def push_steps(prepared: PreparedDemo, push: PushDemo, command: str) -> list[str]:
    """Lines to copy that push a person, as an identity provider would, and show what became of it."""
    organisation = shlex.quote(prepared.demo.name.split()[0])
    person = {
        "schemas": [CORE_USER],
        "userName": "ruby.chen",
        "name": {"givenName": "Ruby", "familyName": "Chen"},
        "active": True,
    }
    bearer = '-H "Authorization: Bearer $TOKEN"'
    media_type = '-H "Content-Type: application/scim+json"'
    return [
        f"BASE={push.base_url}",
        f"TOKEN={push.token}",
        f'curl -sS "$BASE/Users" {bearer} {media_type} -d {shlex.quote(json.dumps(person))}',
        f"""curl -sS -G "$BASE/Users" {bearer} --data-urlencode 'filter=userName eq "RUBY.CHEN"'""",
        f'curl -sS "$BASE/ServiceProviderConfig" {bearer}',
        f"{command} scim log {push.name} -o {organisation}",
        f"{command} member show ruby.chen -o {organisation}",
    ]


def command_name(argv0: str, folder: Path) -> str:
    """How to call usher from this folder: as it was called, when that is a path; else by its bare name."""
    path = Path(argv0)
    if os.sep not in argv0 or path.name != "usher":
        return "usher"
    return str(path.relative_to(folder)) if path.is_absolute() and path.is_relative_to(folder) else argv0
