"""From a bearer token to an answer: who asks is judged before anything else of a request is looked at.

A read happens in the transaction that looked the token up. A write looks it up first and then has a transaction of
its own. Every request of a known client ends in the request log.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus

from provisioning.resources import PushStore, PushView, RequestSink, StoredToken
from scim.answers import Answer, SCIMRequest, body_limit, is_read, render_error
from scim.callers import caller_of
from scim.errors import (
    InvalidSyntaxError,
    SCIMError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
)
from scim.handling import Context, Parts, handle
from scim.request_log import RequestLog, Visit
from web.gate import Verdict, judge
from web.limits import RateLimit, Timer
from web.requests import BodyCutOffError, BodyTooLargeError, bearer_token
from web.tokens import read_prefix

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_UNAUTHORIZED = (
    "the bearer token does not open this directory: it is missing, wrong, expired or revoked, or it belongs to "
    "another directory; create a token for this one and put it into the identity provider"
)

ReadBody = Callable[[int], bytes]
"""Reads the body, at most so many bytes. Raises BodyTooLargeError or BodyCutOffError."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request whose body has not been read. `request.body` is empty yet."""

    directory_id: str
    authorization: str
    address: str
    request_id: str
    request: SCIMRequest
    read_body: ReadBody


@dataclass(frozen=True, slots=True)
class Limits:
    """`requests` are counted by directory, `failures` of authentication by address."""

    requests: RateLimit
    failures: RateLimit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The SCIM endpoint of all directories."""

    parts: Parts
    push: PushStore
    sink: RequestSink
    limits: Limits
    timer: Timer
    log: RequestLog

    def serve(self, arrival: Arrival) -> Answer:
        """Answer a request. A body in pieces must be read to its end, or closed."""
        started = self.timer()
        now = self.parts.clock()
        text = bearer_token(arrival.authorization)
        prefix = read_prefix(text)
        with ExitStack() as stack:
            view = stack.enter_context(self.push.read())
            token = view.token(prefix) if prefix else None
            verdict = judge(text, arrival.directory_id, token, now)
            if token is None or not verdict.is_known_client:
                stack.close()
                return self._turn_away(arrival, token, verdict, now, started)
            visit = _Visit(self, arrival, token, now, started)
            answer = visit.answer(view, stack)
            if not isinstance(answer.body, bytes):
                answer.body = _Stream(answer.body, stack.pop_all())
        return answer

    def _turn_away(
        self, arrival: Arrival, token: StoredToken | None, verdict: Verdict, now: datetime, started: float
    ) -> Answer:
        """The same answer whatever is wrong with the token. Only who holds one that was good is logged."""
        wait = self.limits.failures.take(arrival.address)
        if wait:
            return render_error(
                TooManyRequestsError(f"too many requests without a good token; wait {wait} s", wait)
            )
        answer = render_error(UnauthorizedError(_UNAUTHORIZED))
        if token is not None and verdict is not Verdict.WRONG:
            _Visit(self, arrival, token, now, started).log(arrival.request, answer)
        return answer


class _Visit:
    """One request of a client whose token was found."""

    __slots__ = ("arrival", "caller", "endpoint", "now", "started", "token")

    def __init__(
        self, endpoint: Endpoint, arrival: Arrival, token: StoredToken, now: datetime, started: float
    ) -> None:
        self.endpoint = endpoint
        self.arrival = arrival
        self.token = token
        self.caller = caller_of(token)
        self.now = now
        self.started = started

    def answer(self, view: PushView, stack: ExitStack) -> Answer:
        """Answer and log. The transaction of `stack` stays open for a read alone."""
        self.endpoint.sink.note_use(self.token, self.now, self.arrival.address)
        request = self.arrival.request
        answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR)
        try:
            try:
                self._check_rate()
                if request.method in _WITH_BODY:
                    request = replace(request, body=self._read_body())
            except SCIMError as error:
                answer = render_error(error)
            else:
                answer = self._handle(request, view, stack)
        finally:
            # Also when the server itself has failed: an administrator looks for the request by its id.
            self.log(request, answer)
        return answer

    def _check_rate(self) -> None:
        wait = self.endpoint.limits.requests.take(self.token.directory_id)
        if wait:
            raise TooManyRequestsError(f"too many requests for this directory; wait {wait} s", wait)

    def _read_body(self) -> bytes:
        try:
            return self.arrival.read_body(body_limit(self.arrival.request.path))
        except BodyTooLargeError as error:
            raise TooLargeError(str(error)) from error
        except BodyCutOffError as error:
            raise InvalidSyntaxError(str(error)) from error

    def _handle(self, request: SCIMRequest, view: PushView, stack: ExitStack) -> Answer:
        arrival = self.arrival
        context = Context(self.endpoint.parts, self.caller, arrival.request_id, address=arrival.address)
        if is_read(request):
            caller = self.caller
            return handle(request, context, view.resources(caller.organisation_id, caller.directory_id))
        # A writer must not wait for a reader of its own.
        stack.close()
        return handle(request, context, None)

    def log(self, request: SCIMRequest, answer: Answer) -> None:
        endpoint = self.endpoint
        visit = Visit(
            self.arrival.request_id,
            self.now,
            self.token.prefix,
            self.arrival.address,
            int((endpoint.timer() - self.started) * 1_000_000),
        )
        row = endpoint.log.describe(request, answer, self.caller, visit, log_id=endpoint.parts.mint.id())
        endpoint.sink.put(row)


class _Stream:
    """A body in pieces with the transaction that it is read from, which ends with it."""

    def __init__(self, pieces: Iterator[bytes], stack: ExitStack) -> None:
        self._pieces = pieces
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the transaction; the client may have gone before the end of the body."""
        self._stack.close()
