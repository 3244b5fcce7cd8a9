"""Servers in processes of their own, one like the other: granian, one process, eight blocking threads."""

import base64
import contextlib
import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from bench.scim_bare import VARIABLE, Script
from bench.scim_place import Pushed

THREADS = 8
GRANIAN = ("--interface", "wsgi", "--workers", "1", "--blocking-threads", str(THREADS))
_KEY_RING = f"bench:{base64.b64encode(bytes(32)).decode()}"
_START_SECONDS = 60
_STOP_SECONDS = 30
_MEGABYTE = 1024 * 1024


class Server:
    """A server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """What all its processes have used, in the system too."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(each.user + each.system for each in times)

    def resident_mb(self) -> float:
        return sum(process.memory_info().rss for process in self._processes()) / _MEGABYTE


@contextlib.contextmanager
def serve_usher(pushed: Pushed) -> Iterator[Server]:
    """The product as its guide says to run it, with its scheduler and its logs."""
    environ = {
        "USHER_DATA": str(pushed.folder),
        "USHER_DATABASE_URL": pushed.url,
        "USHER_SECRET_KEY": _KEY_RING,
        "USHER_LOG_FORMAT": "json",
        # The limit is there to stop loops, and this is one.
        "USHER_SCIM_RATE": "1000000",
        "USHER_SCIM_BURST": "1000000",
    }
    with serve_wsgi("service.wsgi:app", environ, pushed.folder / "server.log") as server:
        yield server


@contextlib.contextmanager
def serve_bare(script: Script, folder: Path) -> Iterator[Server]:
    file = folder / "script.pickle"
    file.write_bytes(pickle.dumps(script))
    with serve_wsgi("bench.scim_bare:app", {VARIABLE: str(file)}, folder / "server.log") as server:
        yield server


@contextlib.contextmanager
def serve_wsgi(
    app: str,
    environ: Mapping[str, str],
    log: Path,
    *,
    python: str = sys.executable,
    health: str = "/healthz",
) -> Iterator[Server]:
    port = free_port()
    command = [python, "-m", "granian", *GRANIAN, "--port", str(port), app]
    with start(command, environ, log, port=port, health=health) as server:
        yield server


@contextlib.contextmanager
def start(
    command: Sequence[str], environ: Mapping[str, str], log: Path, *, port: int, health: str
) -> Iterator[Server]:
    """Start a server and wait until it answers anything at all at `health`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("USHER_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**kept, **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}{health}", log)
            yield Server(process, port)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own address
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"a server did not start; it said: {log.read_text(errors='replace')[-3000:]}")
