"""Worlds for the tests of plans and runs, as those of `provisioning` have them."""

from tests.provisioning.conftest import database, new_world, world

__all__ = ["database", "new_world", "world"]
