"""The addresses of host applications: what may be registered. What comes in is compared with it, letter by letter."""

from urllib.parse import urlsplit

from api.parameters import MAX_REDIRECT_URI

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_UNFIT = frozenset('"\\<>^`{|} *')


def find_address_fault(url: str, *, may_be_loopback: bool = True) -> str:
    """Why an address cannot be registered; empty when it can.

    Source: RFC 6749 section 3.1.2 (absolute, no fragment), RFC 9700 section 2.1 (exact), RFC 8252 section 7.3
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if len(url) > MAX_REDIRECT_URI or not url.isascii() or not url.isprintable() or _UNFIT & set(url):
        return f"must be of plain letters, without a wildcard, and at most {MAX_REDIRECT_URI} of them"
    if not host or port == 0 or "@" in parts.netloc:
        return "must have a host name, and no user"
    if "#" in url:
        return "must not have a fragment"
    if parts.scheme == "https" or (may_be_loopback and parts.scheme == "http" and host in _LOOPBACK):
        return ""
    return "must begin with https://" + (" (http:// for this machine alone)" if may_be_loopback else "")
