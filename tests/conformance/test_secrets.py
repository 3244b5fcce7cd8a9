"""Secrets: kept by the organisation, sealed for their place, and opened nowhere else."""

import pytest
from sqlalchemy import select, update

from storage.engine import Database
from storage.errors import ConflictError, SealError
from storage.tables import secret
from tests.conformance.builders import MINUTE, NOW, Tenant, new_id

PASSWORD = "Zoë's".encode()


def put(tenant: Tenant, holder: str, name: str = "password", value: bytes = PASSWORD) -> None:
    with tenant.unit_of_work.write() as writer:
        writer.put_secret(holder, name, value, NOW)


def read(tenant: Tenant, holder: str, name: str = "password") -> bytes | None:
    with tenant.unit_of_work.read() as reader:
        return reader.secret(holder, name)


def test_a_secret_comes_back_to_who_names_it(tenant: Tenant) -> None:
    put(tenant, tenant.directory_id)
    put(tenant, tenant.directory_id, "next", b"other")

    assert read(tenant, tenant.directory_id) == PASSWORD
    assert read(tenant, tenant.directory_id, "next") == b"other"
    assert read(tenant, tenant.directory_id, "third") is None
    assert read(tenant, new_id()) is None


def test_a_secret_is_never_stored_in_clear(tenant: Tenant, database: Database) -> None:
    put(tenant, tenant.directory_id)

    with database.read() as connection:
        sealed = connection.execute(
            select(secret.c.sealed).where(secret.c.holder == tenant.directory_id)
        ).scalar_one()
    assert PASSWORD not in sealed


def test_a_secret_put_again_takes_the_place_of_the_last(tenant: Tenant, database: Database) -> None:
    put(tenant, tenant.directory_id)
    with tenant.unit_of_work.write() as writer:
        writer.put_secret(tenant.directory_id, "password", b"new", NOW + MINUTE)

    assert read(tenant, tenant.directory_id) == b"new"
    with database.read() as connection:
        moments = connection.execute(
            select(secret.c.changed_at).where(secret.c.holder == tenant.directory_id)
        ).all()
    assert [row[0] for row in moments] == [NOW + MINUTE]


def test_a_deleted_secret_is_gone_and_may_be_deleted_again(tenant: Tenant) -> None:
    put(tenant, tenant.directory_id)
    put(tenant, tenant.directory_id, "next")

    for _ in range(2):
        with tenant.unit_of_work.write() as writer:
            writer.delete_secret(tenant.directory_id, "password")

    assert read(tenant, tenant.directory_id) is None
    assert read(tenant, tenant.directory_id, "next") == PASSWORD


def test_another_organisation_neither_reads_nor_moves_a_secret(tenant: Tenant, other: Tenant) -> None:
    put(tenant, tenant.directory_id)

    with pytest.raises(ConflictError):
        put(other, tenant.directory_id, value=b"stolen")
    with other.unit_of_work.write() as writer:
        writer.delete_secret(tenant.directory_id, "password")

    assert read(other, tenant.directory_id) is None
    assert read(tenant, tenant.directory_id) == PASSWORD


@pytest.mark.parametrize("place", ["organisation_id", "holder", "name"])
def test_a_secret_moved_to_another_place_does_not_open(
    place: str, tenant: Tenant, other: Tenant, database: Database
) -> None:
    put(tenant, tenant.directory_id)
    elsewhere = {"organisation_id": other.organisation_id, "holder": new_id(), "name": "next"}[place]

    with database.write() as connection:
        connection.execute(
            update(secret).where(secret.c.holder == tenant.directory_id).values({place: elsewhere})
        )

    reader = other if place == "organisation_id" else tenant
    holder = elsewhere if place == "holder" else tenant.directory_id
    with pytest.raises(SealError, match="changed or moved") as refused:
        read(reader, holder, elsewhere if place == "name" else "password")
    assert PASSWORD.decode() not in repr(refused.value)
