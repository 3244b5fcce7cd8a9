"""How much one request may say. The discovery endpoint announces these."""

MAX_BODY = 1 << 20
"""Bytes of a body."""
MAX_LARGE_BODY = 8 << 20
"""Bytes of a body about groups, or of a bulk request."""
MAX_BULK_OPERATIONS = 1_000
DEFAULT_COUNT = 100
"""Resources of a page, where the client does not say how many."""
MAX_COUNT = 1_000
MAX_FILTER_LENGTH = 8_192
MAX_FILTER_TERMS = 100
MAX_FILTER_DEPTH = 20
