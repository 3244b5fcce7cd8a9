"""What every edge reads of a request before it knows what is asked: its id, its token, its body within a limit."""

import re
from typing import IO

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.ASCII | re.IGNORECASE)
_CHUNK_BYTES = 64 * 1024


class BodyTooLargeError(Exception):
    """The body is longer than it may be. What was read of it is dropped."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes; send less at a time")
        self.limit = limit


class BodyCutOffError(Exception):
    """The client announced more than it sent."""

    def __init__(self, declared: int, received: int) -> None:
        super().__init__(f"the body ended after {received} of {declared} bytes; send it again")


def is_request_id(text: str) -> bool:
    """Whether a client's own request id can be taken over."""
    return _REQUEST_ID.fullmatch(text) is not None


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header; empty where there is none, or another scheme.

    Source: RFC 6750 section 2.1; the scheme's case does not matter, RFC 9110 section 11.1
    """
    found = _BEARER.fullmatch(authorization)
    return found[1] if found else ""


def read_body(stream: IO[bytes], limit: int, declared: int | None) -> bytes:
    """Read a body of at most `limit` bytes, whatever length it claims to have or keeps to itself (chunked).

    Raises: BodyTooLargeError before more than a chunk beyond the limit is in memory; BodyCutOffError.
    """
    if declared is not None and declared > limit:
        raise BodyTooLargeError(limit)
    parts: list[bytes] = []
    received = 0
    # Not past the declared end: a server need not bound the stream, and would wait there (PEP 3333, input stream).
    while part := stream.read(_CHUNK_BYTES if declared is None else min(_CHUNK_BYTES, declared - received)):
        received += len(part)
        if received > limit:
            raise BodyTooLargeError(limit)
        parts.append(part)
    if declared is not None and received < declared:
        raise BodyCutOffError(declared, received)
    return parts[0] if len(parts) == 1 else b"".join(parts)
