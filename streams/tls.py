"""TLS to destinations that do not speak HTTP."""

import contextlib
import ssl
import tempfile
from collections.abc import Iterator, Mapping


def make_context(ca: str, secrets: Mapping[str, bytes]) -> ssl.SSLContext:
    """TLS 1.2 or later, the receiver's certificate and name checked, with our own certificate where there is one.

    `ca` is PEM; empty for the system's authorities. The secrets are `client_certificate` and `client_key`.
    Raises: ssl.SSLError, ValueError where certificates or the key cannot be read.
    """
    context = ssl.create_default_context(cadata=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if "client_certificate" in secrets:
        with _passing_file(secrets["client_certificate"] + b"\n" + secrets["client_key"]) as path:
            context.load_cert_chain(path, password="")
    return context


@contextlib.contextmanager
def _passing_file(content: bytes) -> Iterator[str]:
    """The library reads keys from files alone: one that only we may read, and that is gone soon."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name
