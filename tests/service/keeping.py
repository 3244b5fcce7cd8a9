"""A record that is old: a small organisation whose events happened long ago, and what can be asked of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from sqlalchemy import inspect, text

import audit.verifier
from audit.bundle import BundleRequest, LeafRange, Proofs, write_bundle
from audit.tree import layered_nodes
from audit.verifier import Report, verify_bundle
from provisioning.log_verification import Difference
from provisioning.ports import EventQuery
from service.administration import Administration
from service.jobs import delete_after_retention
from service.log_verification import trusted_keys, verify_logs
from service.replay_check import ReplayReport, replay_organisation
from service.runs import claim_directory, run_claimed
from service.sealer import Sealer
from storage.sealing import SQLSealing
from tests.service.worlds import HandClock, small_world, write_export

AGE = timedelta(days=500)


@contextmanager
def old_world(folder: Path, clock: HandClock, **environ: str) -> Iterator[Administration]:
    """Everything in it happened 500 days ago and is sealed. The clock stands at now."""
    clock.now -= AGE
    with small_world(folder, clock, **environ) as acme:
        seal(acme)
        clock.now += AGE
        yield acme


def seal(acme: Administration) -> None:
    sealer = Sealer(acme.wiring)
    sealer.drain()
    sealer.stop()


def let_go(acme: Administration, clock: HandClock, *staying: str) -> None:
    """All but these leave the directory, and are deleted a month later."""
    write_export(acme.wiring, *staying)
    read_directory(acme)
    clock.advance(days=31)
    delete_after_retention(acme.wiring)


def read_directory(acme: Administration) -> None:
    with acme.read() as reader:
        (directory,) = reader.directories()
    run_claimed(acme.wiring, claim_directory(acme.wiring, directory))


def bodies(acme: Administration, action: str = "") -> list[dict[str, Any]]:
    with acme.read() as reader:
        return [json.loads(body) for _, body in reader.events(EventQuery(limit=100_000, action=action))]


def said(body: Mapping[str, Any]) -> dict[str, Any]:
    return {change["path"]: change["after"] for change in body["changes"]}


def differences(acme: Administration) -> list[Difference]:
    seal(acme)
    logs = verify_logs(acme.wiring, [acme.organisation_id], trusted_keys(acme.wiring, ()))
    return [difference for log in logs for difference in log.result.differences]


def replay(acme: Administration) -> ReplayReport:
    with acme.read() as reader:
        state = reader.organisation()
    return replay_organisation(acme.wiring, state)


def bundle(acme: Administration, first: int, at: datetime) -> bytes:
    """Every event from this leaf to the last, as somebody who does not trust us gets it."""
    file = BytesIO()
    with SQLSealing(acme.wiring.database).read(acme.organisation_id) as log:
        checkpoint = log.checkpoint()
        assert checkpoint is not None
        request = BundleRequest(
            organisation=acme.organisation_id,
            note=checkpoint.note,
            vkey=trusted_keys(acme.wiring, ())[0],
            created_at=at,
            verifier=Path(audit.verifier.__file__).read_bytes(),
            leaves=LeafRange(first, checkpoint.size),
        )
        events = [
            (event.leaf_index, event.body or b"") for event in log.events() if event.leaf_index >= first
        ]
        proofs = Proofs(layered_nodes(log.node, log.leaves), log.leaves)
        write_bundle(file, request, events=events, names=(), proofs=proofs)
    return file.getvalue()


def verified(acme: Administration, folder: Path, content: bytes) -> Report:
    with ZipFile(BytesIO(content)) as archive:
        archive.extractall(folder / "bundle")
    return verify_bundle(folder / "bundle", keys=list(trusted_keys(acme.wiring, ())))


def stored(acme: Administration) -> Iterator[tuple[str, bytes]]:
    """Every value of every table, as bytes."""
    with acme.wiring.database.read() as connection:
        for table in sorted(inspect(connection).get_table_names()):
            for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                for column, value in row.items():
                    raw = value if isinstance(value, bytes | memoryview) else str(value).encode()
                    yield f"{table}.{column}", bytes(raw)


def files(acme: Administration) -> bytes:
    """The bytes of a SQLite database, with its write-ahead log."""
    path = acme.wiring.database.file
    assert path is not None
    return b"".join(
        one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")) if not one.name.endswith("-shm")
    )
