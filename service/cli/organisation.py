"""`usher organisation`: the tenants, their plans, settings, domains and owners."""

import click

from directory.changes import AddDomain, SetPlan, SetSettings, TransferOwner
from directory.ids import EnvironmentId
from provisioning.ports import Reader
from provisioning.queries import seat_report
from provisioning.state import SeatPolicy
from service.administration import Administration
from service.cli.changing import carry_out, preview_options
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.values import SEATS, seats_text
from service.names import find_member, find_organisation
from service.organisations import NewOrganisation, create_organisation

_HEADINGS = {
    "organisation": "Organisation",
    "id": "Id",
    "environment": "Environment",
    "plan": "Plan",
    "seats": "Seats",
    "seat_policy": "When full",
    "owner": "Owner",
    "resolution": "Several rules",
    "settings": "Switches",
    "domains": "Domains",
    "directories": "Directories",
    "scopes": "Scopes",
    "rules": "Rules",
    "access_version": "Access version",
}


@click.group(cls=UsherGroup)
def organisation() -> None:
    """The tenants of an environment.

    Each organisation has one owner, a plan, scopes, directories and rules.
    """


@organisation.command()
@click.argument("name")
@click.option("--environment", required=True, help="The environment, such as minut.")
@click.option("--plan", help="A plan of the environment.")
@click.option("--seats", type=SEATS, help="A number of seats of its own, or unlimited.")
@click.option("--owner-mail", required=True, help="Mail address of the owner.")
@click.option("--owner-name", required=True, help="Name of the owner.")
@click.option(
    "--seat-policy",
    type=click.Choice([policy.value for policy in SeatPolicy]),
    default=SeatPolicy.REJECT.value,
    show_default=True,
    help="What a full organisation answers to a pushed user.",
)
@click.option(
    "--domain", "domains", multiple=True, help="A mail domain that is known to be the organisation's."
)
def create(
    name: str,
    environment: str,
    plan: str | None,
    seats: int | None,
    owner_mail: str,
    owner_name: str,
    seat_policy: str,
    domains: tuple[str, ...],
) -> None:
    """Create an organisation with its owner."""
    call = current()
    new = NewOrganisation(
        name=name,
        environment_id=EnvironmentId(environment),
        owner_mail=owner_mail,
        owner_name=owner_name,
        plan=plan,
        seat_limit=seats,
        seat_policy=SeatPolicy(seat_policy),
        domains=domains,
    )
    state = create_organisation(new, wiring=call.wiring, actor=call.actor)
    call.output.say(
        f"Organisation '{state.name}' is created in {state.environment_id}; its owner is {owner_mail}.",
        {"organisation": state.name, "id": state.organisation_id, "owner_id": state.owner_id},
    )


@organisation.command("list")
def list_() -> None:
    """List all organisations."""
    call = current()
    rows = []
    for state in call.wiring.store.organisations():
        with call.wiring.unit_of_work(state.organisation_id).read() as reader:
            report = seat_report(reader, shown=0)
        rows.append(
            {
                "organisation": state.name,
                "environment": state.environment_id,
                "plan": state.plan,
                "seats_used": report.occupied,
                "seat_limit": seats_text(report.limit),
                "waiting": report.waiting_count,
                "id": state.organisation_id,
            }
        )
    columns = {
        "organisation": "Organisation",
        "environment": "Environment",
        "plan": "Plan",
        "seats_used": "Seats used",
        "seat_limit": "of",
        "waiting": "Waiting",
        "id": "Id",
    }
    call.output.listing(
        rows, columns, empty="There is no organisation yet; see 'usher organisation create --help'."
    )


@organisation.command()
@click.argument("name", required=False, default="")
@organisation_option
def show(name: str) -> None:
    """Show one organisation."""
    call = current()
    if name:
        call.organisation_name = find_organisation(call.wiring.store, name).organisation_id
    with call.administration.read() as reader:
        document = _document(reader)
    call.output.record(document, _HEADINGS)


def _document(reader: Reader) -> dict[str, object]:
    state = reader.organisation()
    report = seat_report(reader, shown=0)
    inputs = reader.model_inputs()
    catalogue = reader.catalogue()
    owner = reader.member_records([state.owner_id]).get(state.owner_id) if state.owner_id else None
    switches = {name: state.switches.get(name, switch.default) for name, switch in catalogue.switches.items()}
    return {
        "organisation": state.name,
        "id": state.organisation_id,
        "environment": state.environment_id,
        "plan": state.plan,
        "seats": f"{report.occupied} of {seats_text(report.limit)} used, {report.waiting_count} waiting",
        "seats_used": report.occupied,
        "seat_limit": report.limit,
        "waiting": report.waiting_count,
        "seat_policy": state.seat_policy.value,
        "owner": f"{owner.display_name} <{owner.mail}>" if owner else None,
        "owner_id": state.owner_id,
        "resolution": state.resolution or catalogue.resolution.value,
        "settings": [f"{name}={'true' if value else 'false'}" for name, value in switches.items()],
        "domains": sorted(reader.domains()),
        "directories": [directory.name for directory in reader.directories()],
        "scopes": len(inputs.scopes),
        "rules": len(inputs.rules),
        "access_version": state.access_version,
    }


@organisation.command("set-plan")
@click.argument("plan")
@click.option("--seats", type=SEATS, help="A number of seats of its own, or unlimited.")
@preview_options
@organisation_option
def set_plan(plan: str, seats: int | None, preview: bool, plan_hash: str) -> None:
    """Change the plan. Nobody is evicted: a plan below the seats in use freezes additions and shows the overrun."""
    administration = current().administration
    outcome = carry_out(administration, [SetPlan(plan, seats)], preview=preview, plan_hash=plan_hash)
    if outcome is None:
        return
    with administration.read() as reader:
        report = seat_report(reader, shown=0)
    sentence = f"The plan is {plan}: {report.occupied} of {seats_text(report.limit)} seats used"
    if report.over:
        sentence += f", {report.over} too many; nobody loses a seat, and nobody new gets one until it fits"
    if report.waiting_count:
        sentence += f", {report.waiting_count} waiting"
    current().output.say(
        f"{sentence}.",
        {
            "plan": plan,
            "seat_limit": report.limit,
            "seats_used": report.occupied,
            "over": report.over,
            "waiting": report.waiting_count,
            "events": outcome.events,
        },
    )


@organisation.command("transfer-owner")
@click.argument("member")
@organisation_option
def transfer_owner(member: str) -> None:
    """Make a member the owner. The former owner keeps what directories and overrides give."""
    administration = current().administration
    with administration.read() as reader:
        record = find_member(reader, member)
    outcome = administration.apply([TransferOwner(record.member_id)])
    current().output.say(
        f"{record.display_name} is the owner now.", {"owner_id": record.member_id, "events": outcome.events}
    )


@organisation.command("set")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE...")
@preview_options
@organisation_option
def set_(settings: tuple[str, ...], preview: bool, plan_hash: str) -> None:
    """Change settings: seat_policy=reject|waitlist, resolution=union|priority, and the environment's switches."""
    values: dict[str, str | bool] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise click.BadParameter(f"'{setting}' is not NAME=VALUE", param_hint="SETTINGS")
        values[name] = {"true": True, "false": False}.get(value.lower(), value)
    _say_done(
        carry_out(current().administration, [SetSettings(values)], preview=preview, plan_hash=plan_hash)
        is not None,
        f"Set {', '.join(settings)}.",
        {"settings": values},
    )


@organisation.command("add-domain")
@click.argument("domain")
@organisation_option
def add_domain(domain: str) -> None:
    """Note that a mail domain is the organisation's; people of two directories may then be linked by mail."""
    administration: Administration = current().administration
    administration.apply([AddDomain(domain)])
    _say_done(True, f"The domain {domain} belongs to the organisation.", {"domain": domain})


def _say_done(is_done: bool, sentence: str, document: dict[str, object]) -> None:
    if is_done:
        current().output.say(sentence, document)
