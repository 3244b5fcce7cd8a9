"""Kinds of directory servers: the mirror of `sync.dialects`."""
