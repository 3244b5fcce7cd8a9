"""`usher serve`, `worker`, `demo` and `doctor`: the service itself."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from service.cli.exits import REFUSED
from service.cli.frame import Invocation, UsherCommand, current
from service.cli.output import clean
from service.cli.values import seats_text
from service.demo import INTERVAL_SECONDS, PreparedDemo, command_name, next_steps, prepare_demo, push_steps
from service.demo_ldap import SUFFIX, ldap_steps, prepare_ldap_demo, sample_export
from service.doctor import Level, examine
from service.logs import set_up_logs
from service.metrics import Metrics
from service.opening import open_and_upgrade, open_for_service
from service.server import serve as serve_until_stopped
from service.settings import Settings, known_variables
from service.slapd import PrivateSlapd, find_programs, run_slapd
from service.worker import Worker, check_workers_fit

_SCHEDULER_CONNECTIONS = 4


def _at_address(settings: Settings, host: str | None, port: int | None) -> Settings:
    return replace(settings, host=host or settings.host, port=port or settings.port)


@click.command(cls=UsherCommand, epilog=f"Settings, by environment variable: {', '.join(known_variables())}.")
@click.option("--host", help="The address to listen at. Default: USHER_HOST, or 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port. Default: USHER_PORT, or 8000.")
def serve(host: str | None, port: int | None) -> None:
    """Run the service, until SIGTERM.

    Web server and scheduler run in this one process. With USHER_JOBS=workers it reads no directory itself, and leaves
    that to 'usher worker'.

    The built-in server has no TLS: put a reverse proxy before it. On PostgreSQL several processes may share the work,
    such as 'granian --interface wsgi --workers 2 --blocking-threads 8 service.wsgi:app' (extra 'granian').
    """
    call = current()
    settings = _at_address(call.settings, host, port)
    set_up_logs(settings)
    with ExitStack() as stack:
        wiring = open_for_service(settings, stack)
        serve_until_stopped(wiring)


@click.command(cls=UsherCommand)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    help="How many directories are read at the same time. Default: USHER_RUN_THREADS, or 2.",
)
def worker(concurrency: int | None) -> None:
    """Read directories for services that leave it to workers, until SIGTERM.

    Any number of workers may run, on as many machines, beside any number of services with USHER_JOBS=workers on the
    same PostgreSQL database. A worker that dies is replaced: what it was reading is taken up by another.
    """
    settings = current().settings
    check_workers_fit(settings)
    threads = concurrency or settings.run_threads
    # Each run has a connection, and so have the scheduler's jobs.
    settings = replace(settings, database_pool=max(settings.database_pool, threads + _SCHEDULER_CONNECTIONS))
    set_up_logs(settings)
    with ExitStack() as stack:
        Worker(open_for_service(settings, stack), Metrics(), concurrency=threads).run()


@click.command(cls=UsherCommand)
@click.option("--once", is_flag=True, help="Make the sample organisations and end; do not serve.")
@click.option(
    "--ldap", "over_ldap", is_flag=True, help="One organisation alone, read from a private OpenLDAP server."
)
@click.option("--host", help="The address to listen at. Default: USHER_HOST, or 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port. Default: USHER_PORT, or 8000.")
def demo(once: bool, over_ldap: bool, host: str | None, port: int | None) -> None:
    """Run the service with two sample organisations.

    They are made on the first start and kept on later ones.
    """
    call = current()
    settings = _at_address(call.settings, host, port)
    output = call.output
    with ExitStack() as stack:
        programs = find_programs(call.environ) if over_ldap else None
        if once:
            wiring = stack.enter_context(open_and_upgrade(settings))
        else:
            set_up_logs(settings)
            wiring = open_for_service(settings, stack)
        output.note(f"Usher: database {wiring.database.address}")

        def tell(line: str) -> None:
            output.note(f"  {clean(line)}")

        if programs is not None:
            folder = settings.data / "slapd"
            slapd = stack.enter_context(run_slapd(folder, sample_export(), suffix=SUFFIX, programs=programs))
            _show_ldap_demo(call, prepare_ldap_demo(wiring, call.actor, slapd, tell=tell), slapd)
        else:
            prepared = prepare_demo(wiring, call.actor, tell=tell)
            if call.is_json:
                output.document([_demo_document(demo) for demo in prepared])
            else:
                _show_demo(call, prepared)
        if once:
            return
        serve_until_stopped(wiring, when_ready=lambda address: _show_address(call, address))


def _demo_document(prepared: PreparedDemo) -> dict[str, object]:
    return {
        "organisation": prepared.demo.name,
        "environment": prepared.demo.environment,
        "is_new": prepared.is_new,
        "users": prepared.users,
        "groups": prepared.groups,
        "seats_used": prepared.seated,
        "seat_limit": prepared.seat_limit,
        "waiting": prepared.waiting,
        "export": prepared.export,
        "scim": prepared.push and {"base_url": prepared.push.base_url, "token": prepared.push.token},
    }


def _show_ldap_demo(call: Invocation, prepared: PreparedDemo, slapd: PrivateSlapd) -> None:
    if call.is_json:
        call.output.document([_demo_document(prepared)])
        return
    line = call.output.line
    line(_summary(prepared))
    line()
    line(f"An OpenLDAP server of its own listens at {slapd.url} until this ends. In another terminal:")
    for step in ldap_steps(slapd, command_name(sys.argv[0], Path.cwd()), call.settings.data):
        line(f"  {step}")
    line()
    line(f"What is changed there is read within {INTERVAL_SECONDS} seconds.")
    sys.stdout.flush()


def _summary(demo: PreparedDemo) -> str:
    state = "is new" if demo.is_new else "is there already and stays as it is"
    return (
        f"Organisation '{demo.demo.name}' ({demo.demo.environment}) {state}: {demo.users} people and "
        f"{demo.groups} groups; {demo.seated} of {seats_text(demo.seat_limit)} seats used, {demo.waiting} wait."
    )


def _show_demo(call: Invocation, prepared: list[PreparedDemo]) -> None:
    line = call.output.line
    for demo in prepared:
        line(_summary(demo))
    line()
    line("What to try next, in another terminal:")
    for step in next_steps(prepared, command_name(sys.argv[0], Path.cwd())):
        line(f"  {step}")
    for one in prepared:
        if one.push is not None:
            line()
            line(f"'{one.demo.name}' takes pushes, too. While Usher serves, push a person by SCIM:")
            for step in push_steps(one, one.push, command_name(sys.argv[0], Path.cwd())):
                line(f"  {step}")
    line()
    line(f"Edit {prepared[0].export} (move a cleaner, add a person, delete one) and save it; within")
    line(f"{INTERVAL_SECONDS} seconds roles and scopes follow, and 'audit list' says what changed and why.")
    sys.stdout.flush()


def _show_address(call: Invocation, address: str) -> None:
    call.output.note(f"Serving on {address} (/healthz, /readyz, /metrics). Ctrl-C stops.")
    sys.stdout.flush()


@click.command(cls=UsherCommand)
def doctor() -> None:
    """Examine the service and what it stands on.

    Settings, database, counters, queues, directories, disk and key. Exit code 1 when something fails.
    """
    call = current()
    findings = examine(call.settings)
    rows = [
        {"level": finding.level.value, "about": finding.about, "text": finding.text, "remedy": finding.remedy}
        for finding in findings
    ]
    if call.is_json:
        call.output.document(rows)
    for finding in [] if call.is_json else findings:
        call.output.line(f"{finding.level.value:<5} {finding.about}: {clean(finding.text)}")
        if finding.remedy:
            call.output.line(f"      -> {clean(finding.remedy)}")
    if any(finding.level is Level.FAIL for finding in findings):
        click.get_current_context().exit(REFUSED)
