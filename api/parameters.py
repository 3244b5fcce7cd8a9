"""The parameters of a request to the provider, read strictly before any library sees them."""

from collections.abc import Iterable

MAX_FORM = 64 * 1024
MAX_REDIRECT_URI = 2000
_LONGEST = {
    "client_id": 64,
    "redirect_uri": MAX_REDIRECT_URI,
    "state": 2048,
    "nonce": 512,
    "scope": 1000,
    "prompt": 100,
    "max_age": 10,
    "code": 200,
    "refresh_token": 200,
    "code_verifier": 128,
}
_LONGEST_OTHER = 16 * 1024


class UnfitParametersError(Exception):
    """The parameters cannot be taken as they are. The text repeats nothing that was sent."""


def read_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each parameter that has a value. Raises UnfitParametersError for one that stands there twice, or is unfit.

    Source: RFC 6749 section 3.1: once each, and one without a value is treated as if it were omitted
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise UnfitParametersError("a parameter stands there more than once")
        if not value:
            continue
        if len(value) > _LONGEST.get(name, _LONGEST_OTHER):
            raise UnfitParametersError("a parameter is too long")
        if not value.isprintable():
            raise UnfitParametersError("a parameter has characters that cannot be shown")
        found[name] = value
    return found
