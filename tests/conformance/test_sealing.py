"""Sealing: every committed event gets one place in its log, and nothing that was signed is taken back."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.engine import Connection

from audit.checkpoint import Checkpoint, parse_checkpoint, verify_note
from audit.tree import RightEdge, inclusion_proof, layered_nodes, leaf_hash, verify_inclusion
from directory.ids import OrganisationId
from provisioning.sealing import HEADS_LOG, SERVICE_LOG, log_origin
from storage.audit_tables import audit_checkpoint, audit_edge, audit_leaf, audit_mark, audit_sealer, log_key
from storage.engine import Database
from storage.errors import ConflictError, LogForkedError, LogKeyMissingError
from storage.sealer_state import LONGEST_LEASE
from storage.sealing import SQLSealing
from storage.service_store import SQLEventSink
from storage.tables import audit_event
from tests.conformance.builders import MINUTE, NOW, Tenant, event, make_tenant
from tests.sealing import LEASE, keyed, make_signer, seal

HOUR = timedelta(hours=1)


def write(tenant: Tenant, *bodies: bytes) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.append_events([event(body=body) for body in bodies])


def leaves(database: Database, organisation_id: OrganisationId) -> list[tuple[int, bytes]]:
    """Index and body of every leaf, by index."""
    statement = (
        select(audit_leaf.c.leaf_index, audit_event.c.body)
        .join(audit_event, audit_event.c.id == audit_leaf.c.event_row)
        .where(audit_leaf.c.organisation_id == organisation_id)
        .order_by(audit_leaf.c.leaf_index)
    )
    with database.read() as connection:
        return [(row[0], row[1]) for row in connection.execute(statement)]


def bodies(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


def test_each_log_gets_its_own_dense_positions(fresh_database: Database) -> None:
    one, two = make_tenant(fresh_database), make_tenant(fresh_database)
    write(one, b"1", b"2")
    write(two, b"3")
    write(one, b"4")
    SQLEventSink(fresh_database).append([event(body=b"5")])

    batch = seal(fresh_database, NOW)

    assert (batch.events, batch.is_drained) == (5, True)
    assert leaves(fresh_database, one.organisation_id) == [(0, b"1"), (1, b"2"), (2, b"4")]
    assert leaves(fresh_database, two.organisation_id) == [(0, b"3")]
    assert leaves(fresh_database, SERVICE_LOG) == [(0, b"5")]


def test_a_later_batch_goes_on_where_the_last_one_ended(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    for start in range(0, 1400, 100):
        write(tenant, *bodies(start, start + 100))
        seal(fresh_database, NOW, limit=64)
    while not seal(fresh_database, NOW, limit=64).is_drained:
        pass

    expected = bodies(0, 1400)
    assert leaves(fresh_database, tenant.organisation_id) == list(enumerate(expected))
    with SQLSealing(fresh_database).read(tenant.organisation_id) as log:
        assert log.edge() == RightEdge().append(map(leaf_hash, expected))
        assert {(node.level, node.index) for node in log.stored_nodes()} == {
            *((8, index) for index in range(5)),
            (9, 0),
            (9, 1),
            (10, 0),
        }


def test_a_checkpoint_says_size_and_root_and_is_signed(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, b"1", b"2", b"3")
    signer = make_signer()

    seal(fresh_database, NOW, signer)

    with SQLSealing(fresh_database).read(tenant.organisation_id) as log:
        stored = log.checkpoint()
    assert stored is not None
    root = RightEdge().append(map(leaf_hash, (b"1", b"2", b"3"))).root()
    origin = f"usher.example.org/audit/{tenant.organisation_id}"
    verified = verify_note(stored.note, [signer.vkey])
    assert parse_checkpoint(verified.text) == Checkpoint(origin, 3, root)
    assert (stored.size, stored.root, stored.sealed_at) == (3, root, NOW)


def test_every_checkpoint_is_a_leaf_of_the_tree_of_heads(fresh_database: Database) -> None:
    tenants = [make_tenant(fresh_database) for _ in range(3)]
    for round_ in range(120):
        for tenant in tenants:
            write(tenant, b"%d" % round_)
        seal(fresh_database, NOW)

    sealing = SQLSealing(fresh_database)
    with sealing.read(HEADS_LOG) as heads, sealing.read(tenants[1].organisation_id) as log:
        head, stored = heads.checkpoint(), log.checkpoint(60)
        assert head is not None
        assert stored is not None
        assert stored.head_index is not None
        assert head.size == heads.size() == 360
        proof = inclusion_proof(stored.head_index, head.size, layered_nodes(heads.node, heads.leaves))
        leaf = leaf_hash(verify_note(stored.note, [make_signer().vkey]).text.encode())
        assert verify_inclusion(leaf, stored.head_index, head.size, proof, head.root)
        assert log.checkpoint(121) is None


def test_what_was_rolled_back_leaves_no_gap(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, b"1")
    with contextlib.suppress(InterruptedError), tenant.unit_of_work.write() as writer:
        writer.append_events([event(body=b"never")])
        raise InterruptedError
    write(tenant, b"2")

    seal(fresh_database, NOW)

    assert leaves(fresh_database, tenant.organisation_id) == [(0, b"1"), (1, b"2")]


def test_nothing_is_signed_when_nothing_is_new(fresh_database: Database) -> None:
    write(make_tenant(fresh_database), b"1")
    sealing = SQLSealing(fresh_database)
    assert sealing.has_unsealed()
    seal(fresh_database, NOW)

    batch = seal(fresh_database, NOW + MINUTE)

    assert (batch.events, batch.is_drained, batch.head) == (0, True, "")
    assert not sealing.has_unsealed()
    assert sealing.status().sealed_at == NOW


def test_the_status_tells_what_waits(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    sealing = SQLSealing(fresh_database)
    empty = sealing.status()
    assert (empty.unsealed, empty.oldest_unsealed, empty.sealed_at, empty.lease_until) == (
        0,
        None,
        None,
        None,
    )
    with tenant.unit_of_work.write() as writer:
        writer.append_events([event(time=NOW + MINUTE), event(time=NOW)])

    waiting = sealing.status()
    seal(fresh_database, NOW)

    assert (waiting.unsealed, waiting.oldest_unsealed) == (2, NOW)
    assert sealing.status().unsealed == 0
    assert sealing.status().owner == "one"
    assert sealing.status().lease_until == NOW + LEASE


def test_of_two_sealers_the_older_one_writes_nothing(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, b"1")
    sealing = SQLSealing(fresh_database)
    first = sealing.claim("first", NOW, NOW + LEASE)
    assert first is not None
    assert sealing.claim("second", NOW + LEASE / 2, NOW + 2 * LEASE) is None
    second = sealing.claim("second", NOW + LEASE, NOW + 2 * LEASE)
    assert second is not None
    signers = keyed(make_signer())

    late = sealing.seal_batch(first, signers, None, at=NOW, lease_until=NOW + 3 * LEASE, limit=9)

    assert late is None
    assert leaves(fresh_database, tenant.organisation_id) == []
    done = sealing.seal_batch(second, signers, None, at=NOW, lease_until=NOW + 3 * LEASE, limit=9)
    assert done is not None
    assert done.events == 1


def test_a_lease_is_given_back_by_its_holder_alone(fresh_database: Database) -> None:
    sealing = SQLSealing(fresh_database)
    first = sealing.claim("first", NOW, NOW + LEASE)
    assert first is not None
    sealing.release(first - 1)
    assert sealing.claim("second", NOW, NOW + LEASE) is None
    sealing.release(first)
    assert sealing.claim("second", NOW, NOW + LEASE) == first + 1


def test_a_clock_that_went_back_does_not_keep_sealing_from_going_on(fresh_database: Database) -> None:
    sealing = SQLSealing(fresh_database)
    ahead = NOW + 24 * HOUR
    sealing.claim("first", ahead, ahead + LEASE)

    assert sealing.claim("second", ahead - LONGEST_LEASE + LEASE, ahead) is None
    assert sealing.claim("second", NOW, NOW + LEASE) is not None


def test_sealers_at_once_seal_every_event_once(fresh_database: Database) -> None:
    tenants = [make_tenant(fresh_database) for _ in range(4)]
    sealing = SQLSealing(fresh_database)
    signers = keyed(make_signer())

    def work(seed: int) -> None:
        random = Random(seed)
        for number in range(30):
            tenant = random.choice(tenants)
            with contextlib.suppress(InterruptedError), tenant.unit_of_work.write() as writer:
                writer.append_events([event(body=b"%d %d" % (seed, number))])
                if random.random() < 0.2:
                    raise InterruptedError

    def keep_sealing(name: str) -> None:
        for _ in range(25):
            # Leases that end at once: each takes over from the other in the middle of what it does.
            fence = sealing.claim(name, NOW, NOW)
            assert fence is not None
            sealing.seal_batch(fence, signers, None, at=NOW, lease_until=NOW, limit=7)

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(work, seed) for seed in range(3)]
        running += [pool.submit(keep_sealing, name) for name in ("first", "second")]
        for one in running:
            one.result()
    assert seal(fresh_database, NOW + HOUR).is_drained

    with fresh_database.read() as connection:
        written = set(connection.execute(select(audit_event.c.id)).scalars())
        sealed = list(connection.execute(select(audit_leaf.c.event_row)).scalars())
    assert sorted(sealed) == sorted(written)
    for tenant in tenants:
        own = leaves(fresh_database, tenant.organisation_id)
        assert [index for index, _ in own] == list(range(len(own)))
        # The organisation's row is locked, so what happened first has the lower place.
        for seed in range(3):
            numbers = [int(body.split()[1]) for _, body in own if body.split()[0] == b"%d" % seed]
            assert numbers == sorted(numbers)


@contextlib.contextmanager
def open_transaction(database: Database) -> Iterator[Connection]:
    with database.engine.connect() as connection, connection.begin():
        yield connection


def insert_event(connection: Connection, tenant: Tenant, body: bytes) -> None:
    row = event(body=body)
    connection.execute(
        text(
            "INSERT INTO audit_event (organisation_id, event_id, time, action, subject_id, body) "
            "VALUES (CAST(:organisation AS uuid), CAST(:id AS uuid), now(), 'x', '', :body)"
        ),
        {"organisation": tenant.organisation_id, "id": row.event_id, "body": body},
    )


def test_an_open_transaction_is_waited_for_and_never_overtaken(fresh_database: Database) -> None:
    if fresh_database.is_sqlite:
        pytest.skip("SQLite has one writer: no event is committed while another's transaction is open")
    slow, quick = make_tenant(fresh_database), make_tenant(fresh_database)
    with open_transaction(fresh_database) as connection:
        insert_event(connection, slow, b"slow")
        write(quick, b"quick")
        while_open = seal(fresh_database, NOW)
        waiting = SQLSealing(fresh_database).status().unsealed
        assert not SQLSealing(fresh_database).has_unsealed()
    # Nothing behind the horizon, though it is committed; it is counted as waiting, so that the alarm tells of it.
    assert while_open.events == 0
    assert waiting == 1

    assert seal(fresh_database, NOW).events == 2
    assert leaves(fresh_database, slow.organisation_id) == [(0, b"slow")]
    assert leaves(fresh_database, quick.organisation_id) == [(0, b"quick")]


def test_a_row_of_a_lower_number_that_comes_to_light_late_is_sealed(fresh_database: Database) -> None:
    if fresh_database.is_sqlite:
        pytest.skip("SQLite has one writer: the order of its rows is the order of its commits")
    tenant, other = make_tenant(fresh_database), make_tenant(fresh_database)
    first = fresh_database.engine.connect()
    begun = first.begin()
    insert_event(first, tenant, b"lower")
    with open_transaction(fresh_database) as holding:
        # A transaction that began later, so that the horizon goes past the one before it.
        write(other, b"higher")
        insert_event(holding, other, b"held")
        begun.commit()
        first.close()
        sealed_while_held = seal(fresh_database, NOW).events
    assert sealed_while_held == 2
    assert seal(fresh_database, NOW).events == 1

    assert leaves(fresh_database, tenant.organisation_id) == [(0, b"lower")]
    assert leaves(fresh_database, other.organisation_id) == [(0, b"higher"), (1, b"held")]


def test_a_drain_that_is_cut_off_goes_on_and_takes_what_came_meanwhile_later(
    fresh_database: Database,
) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, *bodies(0, 5))
    assert not seal(fresh_database, NOW, limit=3).is_drained
    write(tenant, *bodies(5, 9))

    sealed = [seal(fresh_database, NOW, limit=3) for _ in range(4)]

    assert sum(batch.events for batch in sealed) == 6
    assert sealed[-1].is_drained
    assert leaves(fresh_database, tenant.organisation_id) == list(enumerate(bodies(0, 9)))


def test_hours_are_marked_by_what_events_say_and_by_when_they_were_sealed(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    for time in (NOW, NOW + HOUR, NOW + 2 * HOUR, NOW - HOUR, NOW):
        with tenant.unit_of_work.write() as writer:
            writer.append_events([event(time=time)])
    seal(fresh_database, NOW, limit=2)
    seal(fresh_database, NOW + 5 * HOUR)
    seal(fresh_database, NOW + 6 * HOUR)

    with fresh_database.read() as connection:
        marks = connection.execute(select(audit_mark).order_by(audit_mark.c.hour)).mappings().all()
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    assert [(mark["hour"] - hour, mark["first_leaf"]) for mark in marks] == [
        (-HOUR, 3),
        (0 * HOUR, 0),
        (HOUR, 1),
        (2 * HOUR, 2),
        (5 * HOUR, 2),
    ]


def test_the_sealers_commit_waits_for_the_disk_and_others_do_not(fresh_database: Database) -> None:
    asked = "PRAGMA synchronous" if fresh_database.is_sqlite else "SHOW synchronous_commit"
    full, usual = (2, 1) if fresh_database.is_sqlite else ("on", "off")
    if not fresh_database.is_sqlite:
        with fresh_database.write() as connection:
            connection.exec_driver_sql(
                f"ALTER ROLE CURRENT_USER IN DATABASE {connection.engine.url.database} "
                "SET synchronous_commit = off"
            )
        fresh_database.close()
    with fresh_database.write_durably() as connection:
        assert connection.exec_driver_sql(asked).scalar() == full
    with pytest.raises(InterruptedError), fresh_database.write_durably():
        raise InterruptedError
    with fresh_database.write() as connection:
        assert connection.exec_driver_sql(asked).scalar() == usual


@pytest.mark.parametrize("table", [audit_leaf, audit_checkpoint], ids=["leaf", "checkpoint"])
def test_what_is_sealed_can_be_neither_changed_nor_deleted(fresh_database: Database, table: object) -> None:
    write(make_tenant(fresh_database), b"1")
    seal(fresh_database, NOW)

    for statement in (update(table).values(sealed_at=NOW + MINUTE), delete(table)):  # type: ignore[arg-type]
        with pytest.raises(ConflictError, match="append-only"), fresh_database.write() as connection:
            connection.execute(statement)


def test_events_go_by_declared_removal_alone(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, *bodies(0, 4))
    seal(fresh_database, NOW)
    removal = text(
        "INSERT INTO audit_removal (organisation_id, first_leaf, last_leaf, removed_at) "
        "SELECT organisation_id, 1, 2, sealed_at FROM audit_leaf WHERE leaf_index = 0"
    )
    of_leaves = (
        "DELETE FROM audit_event WHERE id IN (SELECT event_row FROM audit_leaf WHERE leaf_index {condition})"
    )
    with fresh_database.write() as connection:
        connection.execute(removal)
        connection.execute(text(of_leaves.format(condition="IN (1, 2)")))

    for condition in ("= 0", "= 3"):
        with pytest.raises(ConflictError, match="append-only"), fresh_database.write() as connection:
            connection.execute(text(of_leaves.format(condition=condition)))
    assert leaves(fresh_database, tenant.organisation_id) == [(0, b"0"), (3, b"3")]


def test_a_tree_that_was_moved_back_is_not_signed_again(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, b"1", b"2")
    seal(fresh_database, NOW)
    write(tenant, b"3")
    edge = RightEdge().append([leaf_hash(b"1")])
    of_tenant = audit_edge.c.organisation_id == tenant.organisation_id
    with fresh_database.write() as connection:
        connection.execute(update(audit_edge).values(size=1, peaks=edge.peaks[0]).where(of_tenant))
    with pytest.raises(LogForkedError, match=f"the log {tenant.organisation_id} is not the one"):
        seal(fresh_database, NOW)

    with fresh_database.write() as connection:
        connection.execute(delete(audit_edge).where(of_tenant))
    with pytest.raises(LogForkedError, match=f"the log {tenant.organisation_id} is not the one"):
        seal(fresh_database, NOW)
    with fresh_database.read() as connection:
        sizes = select(audit_checkpoint.c.size).where(
            audit_checkpoint.c.organisation_id == tenant.organisation_id
        )
        assert connection.execute(sizes).scalars().all() == [2]


def test_a_database_older_than_what_was_signed_is_not_sealed(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, b"1")
    head = parse_checkpoint(seal(fresh_database, NOW).head.rpartition("\n\n")[0] + "\n")
    write(tenant, b"2")

    for wrong in (Checkpoint(head.origin, 1, b"\x00" * 32), Checkpoint(head.origin, 2, head.root)):
        with pytest.raises(LogForkedError, match="restored from a backup"):
            seal(fresh_database, NOW, known_head=wrong)
    assert seal(fresh_database, NOW, known_head=head).events == 1


def test_a_dump_in_another_server_stands_still(fresh_database: Database) -> None:
    if fresh_database.is_sqlite:
        pytest.skip("SQLite numbers no transactions")
    write(make_tenant(fresh_database), b"1")
    with fresh_database.write() as connection:
        connection.execute(update(audit_sealer).values(horizon=2**40))

    with pytest.raises(LogForkedError, match="restored into another server"):
        seal(fresh_database, NOW)


def test_the_first_key_is_adopted_and_no_other_signs(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    write(tenant, b"1")
    with pytest.raises(LogKeyMissingError, match="no key to sign"):
        SQLSealing(fresh_database).seal_batch(
            SQLSealing(fresh_database).claim("one", NOW, NOW + LEASE) or 0,
            {},
            None,
            at=NOW,
            lease_until=NOW + LEASE,
            limit=1,
        )
    seal(fresh_database, NOW, make_signer(1))
    (key,) = SQLSealing(fresh_database).log_keys()
    assert (key.vkey, key.active_at, key.is_signing) == (make_signer(1).vkey, NOW, True)
    write(tenant, b"2")

    with pytest.raises(LogKeyMissingError, match="copy the log key file"):
        seal(fresh_database, NOW, make_signer(2))


def test_a_new_key_signs_once_the_old_one_has_sealed_its_announcement(fresh_database: Database) -> None:
    tenant = make_tenant(fresh_database)
    old, new = make_signer(1), make_signer(2)
    write(tenant, b"1")
    seal(fresh_database, NOW, old)
    write(tenant, b"2", b"announcement")
    with fresh_database.write() as connection:
        row = connection.execute(select(audit_event.c.id).order_by(audit_event.c.id.desc()).limit(1)).scalar()
        connection.execute(
            log_key.insert().values(key_id=new.key_id, vkey=new.vkey, created_at=NOW, announced_row=row)
        )

    for limit in (1, 1, 9, 9):
        seal(fresh_database, NOW, old, new, limit=limit)
    write(tenant, b"3")
    seal(fresh_database, NOW, old, new)

    with SQLSealing(fresh_database).read(tenant.organisation_id) as log:
        by_size = {one.size: one.note for one in log.checkpoints()}
    assert [signer.public_key for signer in verify_note(by_size[3], [old.vkey, new.vkey]).signers] == [
        old.public_key
    ]
    assert {signer.public_key for signer in verify_note(by_size[4], [old.vkey, new.vkey]).signers} == {
        old.public_key,
        new.public_key,
    }


def test_logs_of_the_service_have_short_origins() -> None:
    assert log_origin("u", SERVICE_LOG) == "u/audit/service"
    assert log_origin("u", HEADS_LOG) == "u/audit/heads"
