"""One process that serves: lock, upgrade, scheduler and web server, until it is told to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import structlog
from waitress.server import create_server  # type: ignore[import-untyped]  # waitress has no annotations

from service.app import create_app, make_request_log
from service.errors import ServerStartError
from service.metrics import Metrics
from service.scheduler import Scheduler
from service.wiring import Wiring

_MOST_BODY_BYTES = 16 << 20

_log = structlog.get_logger("usher.server")


def serve(wiring: Wiring, *, when_ready: Callable[[str], None] = lambda _address: None) -> None:
    """Serve until SIGTERM or SIGINT. `when_ready` is told the address once it answers.

    Raises: ServerStartError when the address is taken or not of this machine.
    """
    settings = wiring.settings
    metrics = Metrics()
    scheduler = Scheduler(wiring, metrics)
    requests = make_request_log(wiring, metrics)
    app = create_app(wiring, metrics=metrics, requests=requests, is_scheduler_alive=scheduler.health)
    try:
        server = create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=settings.server_threads,
            ident="usher",
            # Who is trusted to say where a request comes from is for `web.addresses` to decide, on any server.
            clear_untrusted_proxy_headers=False,
            # It takes a body whole before we see it; ours are smaller, and so told in the client's own terms.
            max_request_body_size=_MOST_BODY_BYTES,
        )
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else str(err)
        raise ServerStartError(
            f"cannot listen on {settings.host}:{settings.port} ({why}); stop what listens there, or set "
            "USHER_HOST and USHER_PORT"
        ) from err
    with ExitStack() as stack:
        # The last to end: requests under way are still logged.
        stack.callback(requests.stop)
        stack.callback(server.close)
        stack.callback(scheduler.stop)
        stack.enter_context(_stopping_signals())
        scheduler.start()
        requests.start()
        _log.info("serving", host=settings.host, port=settings.port, database=wiring.database.address)
        when_ready(f"http://{settings.host}:{settings.port}")
        # Ends by the exception that a signal raises, and lets requests under way finish.
        server.run()
        _log.info("stopping")


@contextmanager
def _stopping_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end the server's loop while this is entered."""
    former = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _stop(_number: int, _frame: FrameType | None) -> None:
    # A second signal must not break off what the first one has begun.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)
