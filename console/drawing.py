"""How a page is drawn from a template, and the headers that every page has."""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from flask import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

NOTHING: Mapping[str, object] = MappingProxyType({})
FOLDER = Path(__file__).parent
_POLICY = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
# Not on every page: a form of ours may end at an identity provider by way of our own answer, and browsers hold the
# whole way against this.
_OWN_FORMS = "; form-action 'self'"


class Drawing:
    """Draws pages. `base_url`: what our addresses begin with."""

    def __init__(self, base_url: str) -> None:
        self.prefix = urlsplit(base_url).path.rstrip("/")
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.filters = self._templates.filters
        self.filters["plain"] = lambda words: words.replace("+00:00", " UTC")

    def page(
        self,
        template: str,
        status: int = HTTPStatus.OK,
        said: Mapping[str, object] = NOTHING,
        *,
        is_own: bool = False,
    ) -> Response:
        """The page. `is_own`: its forms lead to us and nowhere else."""
        text = self._templates.get_template(template).render(prefix=self.prefix, **said)
        response = Response(text, status, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _POLICY + (_OWN_FORMS if is_own else "")
        # With no-referrer, a browser would say of our own forms that they come from nowhere.
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response
