"""Engine, statements, secrets and the other parts of storage: the mirror of `storage`."""
