"""Worlds for the tests of plans and runs, as those of `provisioning` have them, and a filled directory server."""

import pytest

from tests.ds389 import DS389, DS389Factory
from tests.provisioning.conftest import database, new_world, world
from tests.sync.ds389_trees import tree

__all__ = ["database", "ds389", "filled_389", "new_world", "world"]


@pytest.fixture(scope="session")
def filled_389(make_ds389: DS389Factory) -> DS389:
    """One server for all tests, as it was filled once."""
    made = make_ds389(tree())
    made.keep()
    return made


@pytest.fixture
def ds389(filled_389: DS389) -> DS389:
    """Thirty people, of whom three are in a group."""
    filled_389.reset()
    return filled_389
