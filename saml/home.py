"""From an e-mail address to where its people sign in. Told by the domain alone, whoever the person is."""

from urllib.parse import urlencode

from flask import Request, Response

from directory.facts import name_key
from saml.errors import LoginDenied
from saml.serving import Parts, network_of, read_form
from saml.starting import redirect
from web.origins import is_own_form
from web.return_paths import is_return_path

_LONGEST_MAIL = 320
_NOBODY = (
    "Nobody has set up single sign-on for this address here. Check the address, or sign in at the application "
    "itself."
)
_UNFIT = "Write your e-mail address as name@company.example."
_TOO_OFTEN = "Too many attempts from your network. Wait a minute and try again."
_ELSEWHERE = "The form came from another site. Write your e-mail address here."


def ask_for_mail(parts: Parts, request: Request) -> Response:
    """The form; or, for whoever is signed in and came for nothing else, a page that says so."""
    return_to = _return_of(request.args.get("return", ""))
    is_fresh = request.args.get("fresh", "") == "1"
    if not return_to and not is_fresh and parts.sessions.load_session(request) is not None:
        return parts.pages.signed_in()
    return parts.pages.sign_in(return_to, is_fresh=is_fresh)


def find_home(parts: Parts, request: Request) -> Response:
    """Lead on to the identity provider of the address's domain, or say that there is none."""
    try:
        form = read_form(request)
    except LoginDenied:
        return parts.pages.sign_in("", message=_UNFIT, status=400)
    return_to, is_fresh = _return_of(form.get("return", "")), form.get("fresh", "") == "1"

    def again(message: str, status: int) -> Response:
        return parts.pages.sign_in(return_to, is_fresh=is_fresh, message=message, status=status)

    if not is_own_form(request, parts.base_url):
        return again(_ELSEWHERE, 400)
    if parts.limits.begun.take(network_of(parts.address(request))):
        return again(_TOO_OFTEN, 429)
    domain = domain_of(form.get("email", ""))
    if not domain:
        return again(_UNFIT, 400)
    with parts.logins.read() as view:
        home = view.home(domain)
    if home is None or not home.connections:
        return again(_NOBODY, 200)
    choices = [
        (name, login_url(parts.base_url, connection_id, return_to, is_fresh=is_fresh))
        for connection_id, name in home.connections
    ]
    return redirect(choices[0][1]) if len(choices) == 1 else parts.pages.choose_connection(choices)


def domain_of(mail: str) -> str:
    """The domain as it is stored; empty when the text is no mail address."""
    local, mark, domain = mail.strip().rpartition("@")
    if not local or not mark or not domain or len(mail) > _LONGEST_MAIL or not domain.isprintable():
        return ""
    if domain.isascii():
        return name_key(domain)
    try:
        # As DNS has it, and so as it was verified.
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""


def login_url(base_url: str, connection_id: str, return_to: str, *, is_fresh: bool = False) -> str:
    """Where a login over the connection begins."""
    query = urlencode(
        {name: text for name, text in (("return", return_to), ("fresh", "1" if is_fresh else "")) if text}
    )
    return f"{base_url}/saml/{connection_id}/login{'?' if query else ''}{query}"


def _return_of(text: str) -> str:
    return text if is_return_path(text) else ""
