"""The tests: a mirror of the tree, and the journeys, conformance and architecture suites beside it."""
