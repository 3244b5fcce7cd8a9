"""The canonical form: RFC 8785 over a narrowed model. Knows nothing of events.

The model is null, booleans, integers within +-(2^53 - 1), text, lists and objects with ASCII keys. No floats.
Text stands as it came, without Unicode normalisation. Within this model orjson with sorted keys gives the
bytes of RFC 8785, because ASCII keys sort alike by code point and by UTF-16 unit; outside it does not, hence
`check_model`.

Source: RFC 8785 sections 3.2.2 and 3.2.3; RFC 7493 section 2.2 for the range of integers.
"""

from types import NoneType

import orjson

from audit.errors import OutsideModelError

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 32

_MODEL = frozenset({NoneType, bool, int, str, list, tuple, dict})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def render_canonical(value: object) -> bytes:
    """Serialise a value that is already known to be inside the model. The hot path.

    Refuses what the serialiser notices by itself (integers out of range, lone surrogates, foreign types); it
    would let floats and non-ASCII keys pass. Use `canonicalise` for anything that was not built here.
    """
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError as err:
        # The text of the error names types and limits, never the value.
        message = f"cannot be serialised ({err})"
        raise OutsideModelError(message) from err


def canonicalise(value: object) -> bytes:
    """Check that `value` is inside the model, then serialise it."""
    check_model(value)
    return render_canonical(value)


def check_model(value: object) -> None:
    """Raise `OutsideModelError`, which names the place, unless `value` is inside the model.

    Types are exact: a subclass of str or int may serialise as something else. At most `MAX_DEPTH` levels.
    """
    _check(value, "$", 0)


def _check(value: object, path: str, depth: int) -> None:
    if type(value) not in _MODEL:
        message = f"a {type(value).__name__} has no canonical form"
        raise OutsideModelError(message, path=path)
    if depth > MAX_DEPTH:
        message = f"more than {MAX_DEPTH} levels"
        raise OutsideModelError(message, path=path)
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            message = "an integer beyond +-(2^53 - 1)"
            raise OutsideModelError(message, path=path)
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _check(item, f"{path}[{position}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                message = f"key {key!r} is not ASCII text"
                raise OutsideModelError(message, path=path)
            _check(item, f"{path}.{key}", depth + 1)


def _check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        message = "text with a lone surrogate"
        raise OutsideModelError(message, path=path) from err
