"""Bulk requests: operations in the order that their references allow, each with an answer of its own.

An operation may name what another creates by `bulkId:...`, before or after it. Operations that wait for each other in
a circle are refused, and so is what names one that failed; the others go on. Source: RFC 7644 section 3.7
"""

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from scim.errors import (
    BadRequestError,
    ConflictError,
    InvalidSyntaxError,
    InvalidValueError,
    SCIMError,
    TooLargeError,
)
from scim.limits import MAX_BULK_OPERATIONS

REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"

_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_REFERENCE = re.compile(r'(?:^|(?<=[/"]))bulkId:([^"/\]]+)')
_REFERRING = ("value", "$ref", "path", "manager", "members")
"""Ends of the keys, in small letters, under which a reference may stand."""
_LONGEST_BULK_ID = 200


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """One operation as sent. `path` is below the base; `version` as in `If-Match`; `bulk_id` is empty for none."""

    method: str
    path: str
    data: object = None
    version: str = ""
    bulk_id: str = ""


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """`fail_on_errors` None: go on whatever fails."""

    operations: tuple[BulkOperation, ...]
    fail_on_errors: int | None = None


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one operation. `resource_id` is what its `bulkId` stands for from then on."""

    status: int
    location: str = ""
    version: str = ""
    resource_id: str = ""
    error: Mapping[str, object] | None = None


Perform = Callable[[BulkOperation], BulkOutcome]
"""Does one operation, whose references are resolved, in a transaction of its own; raises SCIMError."""


def read_bulk(body: object) -> BulkRequest:
    """Read a bulk request. Raises InvalidSyntaxError, or TooLargeError for too many operations."""
    message = _lowered(body, "a bulk request")
    operations = message.get("operations")
    if not isinstance(operations, list):
        raise InvalidSyntaxError("Operations must be a list of operations")
    if len(operations) > MAX_BULK_OPERATIONS:
        raise TooLargeError(
            f"the request has {len(operations)} operations; at most {MAX_BULK_OPERATIONS} are done at once"
        )
    fail_on_errors = message.get("failonerrors")
    if fail_on_errors is not None and (type(fail_on_errors) is not int or fail_on_errors < 1):
        raise InvalidSyntaxError("failOnErrors must be a whole number from 1 on")
    read = tuple(_read_operation(entry, index) for index, entry in enumerate(operations, start=1))
    seen: set[str] = set()
    for operation in read:
        if operation.bulk_id and operation.bulk_id in seen:
            raise InvalidSyntaxError(f"the bulkId '{operation.bulk_id}' is given more than once")
        seen.add(operation.bulk_id)
    return BulkRequest(read, fail_on_errors if isinstance(fail_on_errors, int) else None)


def _lowered(body: object, what: str) -> dict[str, object]:
    if not isinstance(body, dict):
        raise InvalidSyntaxError(f"{what} must be an object")
    return {key.lower(): value for key, value in body.items()}


def _read_operation(entry: object, index: int) -> BulkOperation:
    told = _lowered(entry, f"operation {index}")
    texts = {name: _text(told, name, index) for name in ("method", "path", "bulkid", "version")}
    return BulkOperation(
        method=texts["method"].upper(),
        path=texts["path"].strip("/"),
        data=told.get("data"),
        version=texts["version"],
        bulk_id=texts["bulkid"],
    )


def _text(told: Mapping[str, object], name: str, index: int) -> str:
    value = told.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidSyntaxError(f"{name} of operation {index} must be a text")
    if name == "bulkid" and len(value) > _LONGEST_BULK_ID:
        raise InvalidSyntaxError(
            f"the bulkId of operation {index} is longer than {_LONGEST_BULK_ID} characters"
        )
    return value


def run_bulk(request: BulkRequest, perform: Perform) -> dict[str, object]:
    """Do the operations and tell what became of each, in the order they were sent.

    Once `failOnErrors` of them have failed, the rest are neither done nor told of.
    """
    run = _Run(request, perform)
    for index in range(len(request.operations)):
        run.do(index)
    return {"schemas": [RESPONSE_URN], "Operations": [run.told[index] for index in sorted(run.told)]}


class _Run:
    """The state of one bulk request: what was done, and what each `bulkId` stands for."""

    def __init__(self, request: BulkRequest, perform: Perform) -> None:
        self._operations = request.operations
        self._perform = perform
        self._left = request.fail_on_errors
        by_bulk_id = {
            operation.bulk_id: index
            for index, operation in enumerate(request.operations)
            if operation.bulk_id
        }
        self._needs = [
            {by_bulk_id[name] for name in _references(operation) if name in by_bulk_id}
            for operation in request.operations
        ]
        self._in_circle = _find_circles(self._needs)
        self._ids = dict.fromkeys(by_bulk_id, "")
        self.told: dict[int, dict[str, object]] = {}

    def do(self, first: int) -> None:
        """Do an operation, and before it those that it needs. A loop: a chain may be as long as the request."""
        waiting = [first]
        while waiting and self._left != 0:
            index = waiting[-1]
            needed = self._needs[index] - self.told.keys() if index not in self._in_circle else ()
            if needed:
                waiting.extend(sorted(needed, reverse=True))
                continue
            waiting.pop()
            if index not in self.told:
                self._do_one(index)

    def _do_one(self, index: int) -> None:
        operation = self._operations[index]
        try:
            if index in self._in_circle:
                raise ConflictError(
                    "the operation is part of a circle of references; create one of its resources first and add "
                    "the reference afterwards"
                )
            outcome = self._perform(self._resolve(operation))
        except SCIMError as error:
            outcome = BulkOutcome(error.status, error=error.to_body())
        if operation.bulk_id and operation.method == "POST":
            self._ids[operation.bulk_id] = outcome.resource_id
        if outcome.error is not None and self._left is not None:
            self._left -= 1
        self.told[index] = _tell(operation, outcome)

    def _resolve(self, operation: BulkOperation) -> BulkOperation:
        if operation.method not in _METHODS:
            raise BadRequestError("the method of an operation is POST, PUT, PATCH or DELETE")
        return replace(
            operation,
            path=_REFERENCE.sub(self._stand_in, operation.path),
            data=_replace_references(operation.data, self._stand_in),
        )

    def _stand_in(self, found: re.Match[str]) -> str:
        """The id that a reference stands for. One to nothing in this request stays, and is found to be no id."""
        name = found[1]
        if self._ids.get(name) == "":
            raise InvalidValueError(
                f"nothing was created under the bulkId '{name}', so nothing can refer to it"
            )
        return self._ids.get(name, found[0])


def _references(operation: BulkOperation) -> set[str]:
    """The bulkIds that an operation names."""
    found: set[str] = set()

    def note(reference: re.Match[str]) -> str:
        found.add(reference[1])
        return reference[0]

    _REFERENCE.sub(note, operation.path)
    _replace_references(operation.data, note)
    return found


def _replace_references(value: object, stand_in: Callable[[re.Match[str]], str], key: str = "") -> object:
    """Data with its references replaced; a text that only looks like one, such as a name, stays."""
    if isinstance(value, str):
        return _REFERENCE.sub(stand_in, value) if key.lower().endswith(_REFERRING) else value
    if isinstance(value, dict):
        return {name: _replace_references(item, stand_in, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace_references(item, stand_in, key) for item in value]
    return value


def _find_circles(needs: Sequence[Collection[int]]) -> set[int]:
    """Operations that need themselves, over others or at once, and those between two such circles."""
    rest = _peel({index: set(needed) for index, needed in enumerate(needs)})
    needed_by: dict[int, set[int]] = {index: set() for index in rest}
    for index in rest:
        for needed in rest.intersection(needs[index]):
            needed_by[needed].add(index)
    return _peel(needed_by)


def _peel(needs: Mapping[int, Collection[int]]) -> set[int]:
    """What is left when everything is taken away, again and again, that needs nothing of the rest."""
    sorter = TopologicalSorter(needs)
    with contextlib.suppress(CycleError):
        # The order is worked out as far as it goes even so.
        sorter.prepare()
    rest = set(needs)
    while ready := sorter.get_ready():
        rest.difference_update(ready)
        sorter.done(*ready)
    return rest


def _tell(operation: BulkOperation, outcome: BulkOutcome) -> dict[str, object]:
    told: dict[str, object] = {"method": operation.method}
    if operation.bulk_id:
        told["bulkId"] = operation.bulk_id
    if outcome.location:
        told["location"] = outcome.location
    if outcome.version:
        told["version"] = outcome.version
    told["status"] = str(outcome.status)
    if outcome.error is not None:
        told["response"] = outcome.error
    return told
