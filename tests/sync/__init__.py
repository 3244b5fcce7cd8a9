"""Reading directories: the mirror of `sync`."""
