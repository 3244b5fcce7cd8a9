"""Whether a form was sent by a page of ours. The session's cookie is Lax; this is the second lock."""

from urllib.parse import urlsplit

from flask import Request


def is_own_form(request: Request, base_url: str) -> bool:
    """Whether nothing says that another site's page has sent it.

    Browsers say so by Sec-Fetch-Site (Fetch Metadata section 2.2), older ones by Origin; whoever says neither is no
    browser, and nobody's cookie can be abused by it.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    own = urlsplit(base_url)
    return origin in {None, f"{own.scheme}://{own.netloc}", f"{own.scheme}://{request.host}"}
