"""An application at a port of this machine, for whoever speaks HTTP for real."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from waitress.server import create_server  # type: ignore[import-untyped]  # waitress has no annotations


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The application's address."""
    server = create_server(app, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        thread.join(10)
