"""Rotation: everything that older keys have sealed is sealed anew, once, and whatever cuts it off."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from provisioning.clients import SigningKey
from provisioning.state import PersonalData
from storage.client_store import SQLClientStore
from storage.engine import Database, open_database
from storage.errors import SealError
from storage.login_store import SQLLoginStore
from storage.rotation import count_keys, hold_sealed, reseal
from storage.secrets import KeyRing
from storage.tables import audit_pii, secret
from storage.unit_of_work import OrganisationUnitOfWork
from tests.conformance.builders import NOW, Tenant, make_tenant, new_id
from tests.conformance.sso_builders import connection, key, login_test

OLD, NEW = bytes(range(32)), b"2" * 32
SECRETS, NAMES = 5, 7


@pytest.fixture
def tenants(fresh_database: Database) -> list[Tenant]:
    """Two organisations with secrets and names that the old key has sealed."""
    found = [make_tenant(fresh_database), make_tenant(fresh_database)]
    for one in found:
        with one.unit_of_work.write() as writer:
            for number in range(SECRETS):
                writer.put_secret(one.directory_id, f"secret_{number}", b"secret %d" % number, NOW)
            writer.insert_personal_data(names(one))
    return found


def names(tenant: Tenant) -> list[PersonalData]:
    ids = [f"{tenant.directory_id[:-2]}{number:02x}" for number in range(NAMES)]
    return [PersonalData(ref, new_id(), {"name": f"Zoë {ref}"}) for ref in ids]


@pytest.fixture
def rotating(fresh_database: Database) -> Iterator[Database]:
    """The same database, opened with a new current key beside the old one."""
    database = open_again(fresh_database, KeyRing({"k2": NEW, "k1": OLD}, "k2"))
    yield database
    database.close()


def open_again(database: Database, ring: KeyRing) -> Database:
    return open_database(database.engine.url.render_as_string(hide_password=False), key_ring=ring)


def check_all(database: Database, tenants: list[Tenant]) -> None:
    for one in tenants:
        with OrganisationUnitOfWork(database, one.organisation_id).read() as reader:
            for number in range(SECRETS):
                assert reader.secret(one.directory_id, f"secret_{number}") == b"secret %d" % number
            wanted = {data.ref: data.values for data in names(one)}
            assert reader.personal_data(list(wanted)) == wanted


@pytest.mark.parametrize("batch_size", [1, 3, 500])
def test_everything_is_sealed_anew_and_the_old_key_is_needed_no_more(
    batch_size: int, tenants: list[Tenant], rotating: Database
) -> None:
    assert count_keys(rotating) == {"k1": 2 * (SECRETS + NAMES)}

    done = reseal(rotating, batch_size=batch_size)

    assert (done.values, done.broken) == (2 * (SECRETS + NAMES), ())
    assert count_keys(rotating) == {"k2": 2 * (SECRETS + NAMES)}
    alone = open_again(rotating, KeyRing({"k2": NEW}, "k2"))
    check_all(alone, tenants)
    alone.close()
    assert reseal(rotating, batch_size=batch_size).values == 0


class CutOffError(Exception):
    """A crash between two batches."""


@pytest.mark.parametrize("batches", [1, 2, 4, 6])
def test_a_rotation_that_is_cut_off_goes_on_where_it_was(
    batches: int, tenants: list[Tenant], rotating: Database
) -> None:
    told: list[int] = []

    def cut_off(values: int) -> None:
        told.append(values)
        if len(told) == batches:
            raise CutOffError

    with pytest.raises(CutOffError):
        reseal(rotating, batch_size=4, after_batch=cut_off)

    done = told[-1]
    assert 0 < done < 2 * (SECRETS + NAMES)
    assert count_keys(rotating)["k2"] == done
    check_all(rotating, tenants)
    assert reseal(rotating, batch_size=4).values == 2 * (SECRETS + NAMES) - done
    check_all(rotating, tenants)


def test_what_is_changed_meanwhile_stays_as_it_was_changed(tenants: list[Tenant], rotating: Database) -> None:
    (one, other), changed = tenants, list[int]()

    def change(values: int) -> None:
        # After the first batch, before those behind it.
        if not changed:
            changed.append(values)
            with OrganisationUnitOfWork(rotating, other.organisation_id).write() as writer:
                writer.put_secret(other.directory_id, f"secret_{SECRETS - 1}", b"new", NOW)

    reseal(rotating, batch_size=2, after_batch=change)

    with OrganisationUnitOfWork(rotating, other.organisation_id).read() as reader:
        assert reader.secret(other.directory_id, f"secret_{SECRETS - 1}") == b"new"
    check_all(rotating, [one])


def test_a_value_that_does_not_open_is_told_and_keeps_no_other(
    tenants: list[Tenant], rotating: Database
) -> None:
    moved = names(tenants[0])[3].ref
    with rotating.write() as connection:
        connection.execute(
            update(secret)
            .where(secret.c.holder == tenants[0].directory_id, secret.c.name == "secret_1")
            .values(name="moved")
        )
        connection.execute(
            update(audit_pii).where(audit_pii.c.ref == moved).values(key=b"\x02k0" + bytes(60))
        )

    done = reseal(rotating, batch_size=3)

    assert done.values == 2 * (SECRETS + NAMES) - 2
    assert [(one.table, one.row) for one in done.broken] == [
        ("secret", f"{tenants[0].directory_id}/moved"),
        ("audit_pii", moved),
    ]
    assert "changed or moved" in done.broken[0].reason
    assert "needs key 'k0'" in done.broken[1].reason
    assert count_keys(rotating) == {"k2": done.values, "k1": 1, "k0": 1}


def test_an_empty_value_has_no_key(tenants: list[Tenant], rotating: Database) -> None:
    with rotating.write() as connection:
        connection.execute(update(secret).values(sealed=b""))

    assert count_keys(rotating)[""] == 2 * SECRETS
    with (
        OrganisationUnitOfWork(rotating, tenants[0].organisation_id).read() as reader,
        pytest.raises(SealError),
    ):
        reader.secret(tenants[0].directory_id, "secret_0")


def test_what_is_held_is_counted(tenants: list[Tenant], rotating: Database) -> None:
    assert len(tenants) == 2
    with hold_sealed(rotating) as used:
        assert used == {"k1": 2 * (SECRETS + NAMES)}


@pytest.mark.parametrize("batch_size", [1, 500])
def test_what_single_sign_on_seals_is_sealed_anew_as_well(
    batch_size: int, fresh_database: Database, rotating: Database
) -> None:
    tenant = make_tenant(fresh_database)
    logins, clients = SQLLoginStore(fresh_database), SQLClientStore(fresh_database)
    stored = connection(tenant)
    with tenant.unit_of_work.write() as writer:
        writer.sso.put_connection(stored, NOW)
        for number in range(2):
            writer.sso.put_key(stored.connection_id, key(f"k{number}"), b"private %d" % number)
    shown, empty = login_test(tenant, result=b"<Response/>"), login_test(tenant)
    for test in (shown, empty):
        logins.put_login_test(test)
    signing = SigningKey("s1", "RS256", "{}", "private jwk", "active", NOW)
    clients.put_signing_key(signing)
    assert count_keys(rotating) == {"k1": 4}

    done = reseal(rotating, batch_size=batch_size)

    assert (done.values, done.broken) == (4, ())
    alone = open_again(rotating, KeyRing({"k2": NEW}, "k2"))
    assert count_keys(alone) == {"k2": 4}
    with OrganisationUnitOfWork(alone, tenant.organisation_id).read() as reader:
        for number in range(2):
            assert reader.sso.sp_private_key(stored.connection_id, f"k{number}") == b"private %d" % number
    assert SQLLoginStore(alone).login_test(shown.test_id) == shown
    assert SQLClientStore(alone).signing_keys(NOW) == [signing]
    alone.close()
