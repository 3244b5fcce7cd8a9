"""A browser without scripts: follows redirects, keeps cookies of each site, fills in forms and sends them.

Cookies are withheld from a form that another site posts as their SameSite says (RFC 6265bis section 5.5): what most
often breaks a login that tests have passed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import Cookie
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests
from lxml import html

_PATIENCE_SECONDS = 60
_CROSS_SITE = "none"


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it would be sent untouched."""

    action: str
    method: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Where the browser stands. `trail`: the addresses on the way here, this one last."""

    url: str
    status: int
    headers: Mapping[str, str]
    text: str
    trail: tuple[str, ...] = ()

    @property
    def forms(self) -> list[Form]:
        """In document order."""
        root = html.document_fromstring(self.text) if self.text.strip() else None
        found = [] if root is None else root.forms
        return [
            Form(
                urljoin(self.url, form.action or self.url),
                form.method,
                {name: form.fields[name] or "" for name in form.fields},
            )
            for form in found
        ]

    def form(self, field: str) -> Form:
        """The first form with the field."""
        found = next((form for form in self.forms if field in form.fields), None)
        assert found is not None, f"no form with {field} at {self.url} ({self.status}): {self.text[:2000]}"
        return found


class Browser:
    """Close it. `authority` signs the certificates that are trusted."""

    def __init__(self, authority: str = "") -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._authority = authority or True
        self.at = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def get(self, url: str) -> Page:
        """Go to an address, and on where it redirects to."""
        return self._go("GET", url, {}, is_typed=True)

    def send(self, form: Form, **fields: str) -> Page:
        """Send a form with some of its fields filled in."""
        return self._go(form.method, form.action, {**form.fields, **fields}, is_typed=False)

    def carry(self, page: Page) -> Page:
        """Send on the forms that send themselves, as a script would, until a page stands still."""
        while True:
            carried = [form for form in page.forms if form.fields.keys() & {"SAMLRequest", "SAMLResponse"}]
            if not carried or "username" in carried[0].fields:
                return page
            page = self.send(carried[0])

    def submit(self, page: Page, field: str, **fields: str) -> Page:
        """Send the form of the page that has the field."""
        return self.send(page.form(field), **fields)

    def cookies(self, host: str) -> dict[str, Cookie]:
        """The cookies that a host has set, by name."""
        return {cookie.name: cookie for cookie in self._session.cookies if cookie.domain.startswith(host)}

    def lose_cookies(self, host: str) -> None:
        """As a browser does that keeps none of other sites."""
        for cookie in self.cookies(host).values():
            self._session.cookies.clear(cookie.domain, cookie.path, cookie.name)

    def _go(self, method: str, url: str, fields: Mapping[str, str], *, is_typed: bool) -> Page:
        trail: list[str] = []
        origin = {"Origin": _origin(self.at)} if method == "POST" else {}
        is_foreign = not is_typed and _site(url) != _site(self.at)
        while True:
            trail.append(url.partition("?")[0])
            with self._withheld(url, is_foreign=is_foreign, method=method):
                answer = self._session.request(
                    method,
                    url,
                    params=fields if method == "GET" and fields else None,
                    data=fields if method == "POST" else None,
                    headers=origin,
                    allow_redirects=False,
                    verify=self._authority,
                    timeout=_PATIENCE_SECONDS,
                )
            self.at = url
            location = answer.headers.get("Location")
            if not answer.is_redirect or location is None:
                return Page(url, answer.status_code, dict(answer.headers), answer.text, tuple(trail))
            is_foreign = is_foreign or _site(urljoin(url, location)) != _site(url)
            method, url, fields, origin = "GET", urljoin(url, location), {}, {}

    @contextmanager
    def _withheld(self, url: str, *, is_foreign: bool, method: str) -> Iterator[None]:
        """Keep back what SameSite keeps back: of a POST from elsewhere, all but None; of a GET, what is Strict."""
        sent_always = {_CROSS_SITE} if method == "POST" else {_CROSS_SITE, "lax"}
        jar = self._session.cookies
        kept = [cookie for cookie in jar if is_foreign and _same_site(cookie) not in sent_always]
        for cookie in kept:
            jar.clear(cookie.domain, cookie.path, cookie.name)
        yield
        present = {(cookie.domain, cookie.path, cookie.name) for cookie in jar}
        for cookie in kept:
            if (cookie.domain, cookie.path, cookie.name) not in present:
                jar.set_cookie(cookie)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}"


def _same_site(cookie: Cookie) -> str:
    """Without the attribute a cookie is Lax."""
    return (cookie.get_nonstandard_attr("SameSite") or "lax").lower()
