"""Every error has a code of its own."""

import inspect

from storage import errors
from storage.errors import StorageError


def test_codes_are_stable_slugs_and_differ() -> None:
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, StorageError)
    ]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes) > 10
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)
