"""`usher audit export`: the record written to a file or to the standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import click

from service.cli.audit_reading import filter_options
from service.cli.frame import Invocation, UsherCommand, current, organisation_option
from service.export_bundles import BundlePlan
from service.export_forms import Tally
from service.log_exports import BUNDLE, FORMATS, LogExport, Progress, save_export, stream_export
from service.log_filters import EventFilter, resolve_filter
from service.log_verification import read_checkpoint_file, trusted_keys

_STEPS = 1000


@click.command(cls=UsherCommand)
@filter_options
@click.option("--format", "format_", type=click.Choice(FORMATS), default="jsonl", show_default=True)
@click.option(
    "--output", "target", type=click.Path(path_type=Path), help="A file; the standard output without."
)
@click.option(
    "--older",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A checkpoint that the auditor kept, a file: the bundle then proves that the log only grew since. May be "
    "given more than once.",
)
@organisation_option
def export(format_: str, target: Path | None, older: tuple[Path, ...], **said: Unpack[EventFilter]) -> None:
    """Export the record, oldest first.

    jsonl has the exact event bodies with names beside them, csv is for spreadsheets, ocsf for systems that collect
    security events. bundle is a .zip that is verified without us: with --since and --until at most it holds, and
    proves, every event of the period; with any other filter it cannot show that nothing was left out.
    """
    call = current()
    if older and format_ != BUNDLE:
        raise click.UsageError("--older goes with --format bundle")
    if target is None and format_ == BUNDLE and call.output.is_terminal:
        raise click.UsageError("a bundle is no text; name a file by --output")
    administration = call.administration
    keys = trusted_keys(call.wiring, ()) if older else ()
    kept = [read_checkpoint_file(path, keys) for path in older]
    with administration.read() as reader:
        query = resolve_filter(reader, call.wiring.models, said)
    with _progress(call, target) as progress:
        if target is None:
            with stream_export(administration, query, format_=format_, older=kept) as chunks:
                for chunk in chunks:
                    sys.stdout.buffer.write(chunk)
                    progress(chunks.source.tally.fraction)
                sys.stdout.buffer.flush()
            return
        done = save_export(
            administration, query, format_=format_, target=target, older=kept, progress=progress
        )
    _tell(call, done, target)


@contextmanager
def _progress(call: Invocation, target: Path | None) -> Iterator[Progress]:
    """A bar on the terminal, if nothing else goes there."""
    if call.is_json or not sys.stderr.isatty() or (target is None and call.output.is_terminal):
        yield lambda _: None
        return
    with click.progressbar(length=_STEPS, label="Exporting", file=sys.stderr) as bar:
        yield lambda fraction: bar.update(round(fraction * _STEPS) - bar.pos)


def _tell(call: Invocation, done: LogExport, target: Path) -> None:
    tally, plan = done.tally, done.plan
    document: dict[str, object] = {
        "rows": tally.events,
        "file": target,
        "bytes": done.size,
        "sha256": done.sha256,
        "first": tally.first,
        "last": tally.last,
        "unsealed": tally.unsealed,
        "unreadable": tally.unreadable,
    }
    if plan is not None:
        document |= {
            "proves": plan.result,
            "size": plan.checkpoint.size,
            "removed": plan.gone,
            "key": plan.vkey,
        }
    call.output.say(
        f"{tally.events} events are in {target} ({done.size} bytes, SHA-256 {done.sha256}).", document
    )
    for line in _left_out(tally):
        call.output.note(line)
    for line in _proven(plan, target) if plan is not None else ():
        call.output.note(line)


def _left_out(tally: Tally) -> Iterator[str]:
    if tally.unsealed:
        yield f"{tally.unsealed} events are not sealed yet and are left out; 'usher audit seal' seals them."
    if tally.unreadable:
        yield f"{tally.unreadable} events cannot be told in this format and are left out; see 'usher audit verify'."


def _proven(plan: BundlePlan, target: Path) -> Iterator[str]:
    size, leaves = plan.checkpoint.size, plan.leaves
    if leaves is None:
        yield "It proves that each of these events is in the log, not that no other fits the filter."
    elif (leaves.first, leaves.end) == (0, size):
        yield f"It proves that these are all events of the log: {size}."
    else:
        yield (
            f"It proves that these are all events from place {leaves.first} to {leaves.end - 1} of the log's {size}: "
            f"{leaves.first} before and {size - leaves.end} after them are not in it."
        )
    if plan.gone:
        yield f"The retention has removed {plan.gone} of them; their places are proven all the same."
    yield f"To verify it elsewhere: python3 verifier.py {target.name} --key '{plan.vkey}'"
