"""The application for a WSGI server of one's own choice: `granian --interface wsgi service.wsgi:app`.

It is built when the server asks for `app`, in the process that serves, with a scheduler of its own. Several such
processes need PostgreSQL; on SQLite the second refuses to start.
"""

import atexit
import os
from contextlib import ExitStack
from multiprocessing.util import Finalize

from flask import Flask

from service.app import create_app, make_request_log
from service.logs import set_up_logs
from service.metrics import Metrics
from service.opening import open_for_service
from service.scheduler import Scheduler
from service.settings import load_settings


def build_app() -> Flask:
    """Open everything by the environment's settings; it is closed when the process ends."""
    settings = load_settings(os.environ)
    set_up_logs(settings)
    stack = ExitStack()
    wiring = open_for_service(settings, stack)
    metrics = Metrics()
    scheduler = Scheduler(wiring, metrics)
    requests = make_request_log(wiring, metrics)
    stack.callback(requests.stop)
    stack.callback(scheduler.stop)
    scheduler.start()
    requests.start()
    atexit.register(stack.close)
    # Servers that fork by multiprocessing (granian) end a worker without `atexit`. Closing twice does nothing.
    Finalize(None, stack.close, exitpriority=0)
    return create_app(wiring, metrics=metrics, requests=requests, is_scheduler_alive=scheduler.health)


def __getattr__(name: str) -> Flask:
    if name != "app":
        raise AttributeError(name)
    return build_app()
