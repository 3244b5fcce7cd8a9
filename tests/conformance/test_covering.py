"""The checkpoint that goes with stored objects, on both databases: the first that covers them, and one's own."""

from audit.checkpoint import parse_checkpoint, split_note
from storage.covering import find_covering
from storage.engine import Database
from tests.conformance.builders import NOW, make_tenant
from tests.conformance.test_streams import append
from tests.sealed import seal


def test_a_position_has_the_first_checkpoint_that_covers_it(fresh_database: Database) -> None:
    tenant, other = make_tenant(fresh_database), make_tenant(fresh_database)
    sizes = []
    for number in (2, 3):
        append(tenant, number)
        append(other, 10)
        sizes.append(seal(fresh_database, tenant.organisation_id, NOW) + 1)

    def size(position: int) -> int:
        note = find_covering(fresh_database, tenant.organisation_id, position)
        assert note is not None
        return parse_checkpoint(split_note(note)[0]).size

    first, second = sizes
    assert [size(0), size(first - 1), size(first), size(second - 1)] == [first, first, second, second]
    assert find_covering(fresh_database, tenant.organisation_id, second) is None
