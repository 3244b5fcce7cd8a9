"""`usher audit`: the record of every change. The commands lie in the modules `audit_*` beside this one."""

import click

from service.cli.audit_export import export
from service.cli.audit_keys import restore, rotate_key
from service.cli.audit_privacy import erase, hold, retention
from service.cli.audit_reading import list_, show
from service.cli.audit_replay import replay
from service.cli.audit_reports import report
from service.cli.audit_reviews import review
from service.cli.audit_sealing import prove, prove_consistency_, seal, seal_status, verify
from service.cli.audit_tokens import token
from service.cli.frame import UsherGroup


@click.group(cls=UsherGroup)
def audit() -> None:
    """The record of who changed what, and why."""


for command in (
    list_,
    show,
    report,
    review,
    export,
    seal,
    seal_status,
    prove,
    prove_consistency_,
    verify,
    replay,
    retention,
    hold,
    erase,
    token,
    rotate_key,
    restore,
):
    audit.add_command(command)
