"""Pulled directories: readers, snapshot, diff and run. Hands changes to `provisioning`; writes no rows itself."""
