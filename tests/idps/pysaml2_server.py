"""An identity provider over pysaml2, run as a program of its own: login form, answer, logout, metadata.

What it does stands in the file that it is given, and is read at each request. It is called by the tests only.
"""

import functools
import json
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import saml2.entity
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import Config
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.sigver import SecurityContext
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

_PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
_AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
_BINDINGS = {"redirect": BINDING_HTTP_REDIRECT, "post": BINDING_HTTP_POST}
_URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
# pysaml2 sends each under the object identifier of its name.
_ATTRIBUTES = {"mail": "mail", "givenName": "given_name", "sn": "family_name", "isMemberOf": "groups"}

State = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


@dataclass(frozen=True)
class _Page:
    status: str
    headers: list[tuple[str, str]]
    body: str = ""


def _html(body: str) -> _Page:
    return _Page("200 OK", [("Content-Type", "text/html; charset=utf-8")], body)


class IdentityProvider:
    """The WSGI application."""

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self._sessions: dict[str, dict[str, Any]] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        state = json.loads(self._state_file.read_text(encoding="utf-8"))
        size = int(environ.get("CONTENT_LENGTH") or 0)
        form = dict(parse_qsl(environ["wsgi.input"].read(size).decode(), keep_blank_values=True))
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("idp_session")
        pages = {"/metadata": self._metadata, "/sso": self._sign_in, "/slo": self._sign_out}
        key = cookie.value if cookie is not None and cookie.value in self._sessions else secrets.token_hex()
        session = self._sessions.setdefault(key, {"person": None, "logins": []})
        answer = pages[environ["PATH_INFO"]](state, session, query, form)
        headers = [*answer.headers, ("Set-Cookie", f"idp_session={key}; Path=/; HttpOnly")]
        start_response(answer.status, headers)
        return [answer.body.encode()]

    def _metadata(self, state: State, session: State, query: State, form: State) -> _Page:
        described = entity_descriptor(self._configuration(state, state["published"]))
        return _Page("200 OK", [("Content-Type", "application/samlmetadata+xml")], str(described))

    def _sign_in(self, state: State, session: State, query: State, form: State) -> _Page:
        message = {**query, **form}
        binding = BINDING_HTTP_POST if "SAMLRequest" in form else BINDING_HTTP_REDIRECT
        server = self._server(state)
        asked = server.parse_authn_request(
            message["SAMLRequest"],
            binding,
            relay_state=message.get("RelayState"),
            sigalg=message.get("SigAlg"),
            signature=message.get("Signature"),
        )
        given = [
            person
            for person in state["people"]
            if (person["name"], person["password"]) == (form.get("username"), form.get("password"))
        ]
        session["person"] = given[0] if given else session["person"]
        is_asked_again = asked.message.force_authn == "true" and not given
        if session["person"] is None or is_asked_again:
            hidden = {name: text for name, text in message.items() if name not in {"username", "password"}}
            return _html(_form("/sso", hidden, '<input name="username"><input name="password">'))
        return self._answer(server, state, session, asked.message, message.get("RelayState", ""))

    def _answer(self, server: Server, state: State, session: State, asked: Any, relay_state: str) -> _Page:  # noqa: ANN401
        answers, provider, person = state["answers"], state["service_provider"], session["person"]
        name_id = NameID(
            text=answers["name_id"] or person["name"],
            format=NAMEID_FORMAT_PERSISTENT,
            name_qualifier=state["entity_id"],
            sp_name_qualifier=provider["entity_id"],
        )
        response = server.create_authn_response(
            {name: person[of] for name, of in _ATTRIBUTES.items()},
            in_response_to=asked.id,
            destination=provider["acs"],
            sp_entity_id=provider["entity_id"],
            name_id=name_id,
            authn={"class_ref": _PASSWORD},
            sign_response=answers["sign_response"],
            sign_assertion=answers["sign_assertion"],
            encrypt_assertion=answers["encrypt"],
            sign_alg=SIG_RSA_SHA256,
            digest_alg=DIGEST_SHA256,
        )
        session["logins"].append(name_id)
        return _carried(
            server.apply_binding(
                BINDING_HTTP_POST, str(response), provider["acs"], relay_state, response=True
            )
        )

    def _sign_out(self, state: State, session: State, query: State, form: State) -> _Page:
        message, server = {**query, **form}, self._server(state)
        came_by = BINDING_HTTP_POST if form else BINDING_HTTP_REDIRECT
        binding = _BINDINGS[state["answers"]["binding"]]
        is_redirected = binding == BINDING_HTTP_REDIRECT
        signing = {"sign_alg": SIG_RSA_SHA256, "digest_alg": DIGEST_SHA256}
        slo = state["service_provider"]["slo"]
        if "SAMLRequest" in message:
            asked = server.parse_logout_request(
                message["SAMLRequest"],
                came_by,
                relay_state=message.get("RelayState"),
                sigalg=message.get("SigAlg"),
                signature=message.get("Signature"),
            )
            session.update(person=None, logins=[])
            # SAML Bindings 3.4.4.1: by redirect, the signature is not inside.
            said = server.create_logout_response(asked.message, [binding], sign=not is_redirected, **signing)
            return _carried(
                server.apply_binding(
                    binding,
                    str(said),
                    slo,
                    message.get("RelayState", ""),
                    response=True,
                    sign=is_redirected,
                    sigalg=SIG_RSA_SHA256,
                )
            )
        if "SAMLResponse" in message or not session["logins"]:
            session.update(person=None, logins=[])
            return _html("You are signed out.")
        name_id = session["logins"].pop()
        _, request = server.create_logout_request(
            slo, state["service_provider"]["entity_id"], name_id=name_id, sign=not is_redirected, **signing
        )
        return _carried(
            server.apply_binding(binding, str(request), slo, "", sign=is_redirected, sigalg=SIG_RSA_SHA256)
        )

    def _server(self, state: State) -> Server:
        server = Server(config=self._configuration(state, [state["certificate"]]))
        # What it encrypts with by default is triple DES.
        server.sec.encrypt_assertion = functools.partial(_encrypt, server.sec)
        return server

    def _configuration(self, state: State, certificates: list[str]) -> Config:
        own, provider = state["url"], state["service_provider"]
        services = {
            "single_sign_on_service": [(f"{own}/sso", binding) for binding in _BINDINGS.values()],
            "single_logout_service": [(f"{own}/slo", binding) for binding in _BINDINGS.values()],
        }
        return Config().load(
            {
                "entityid": state["entity_id"],
                "service": {
                    "idp": {
                        "endpoints": services,
                        "name_id_format": [NAMEID_FORMAT_PERSISTENT],
                        "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": _URI}},
                    }
                },
                "metadata": {"inline": [provider["metadata"]] if provider else []},
                "key_file": state["key"],
                "cert_file": certificates[0],
                "additional_cert_files": certificates[1:],
                "xmlsec_binary": shutil.which("xmlsec1"),
                "crypto_backend": "xmlsec1",
            }
        )


def _encrypt(sec: SecurityContext, statement: object, enc_key: str, template: object, **options: Any) -> str:  # noqa: ANN401
    options["key_type"] = "aes-128"
    encrypted: str = sec.crypto.encrypt_assertion(statement, enc_key, template, **options)
    return encrypted


def _form(action: str, hidden: State, shown: str) -> str:
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(text)}">' for name, text in hidden.items()
    )
    return f'<form method="post" action="{escape(action)}">{fields}{shown}</form>'


def _carried(info: State) -> _Page:
    if info["method"] == "GET":
        return _Page("302 Found", [*info["headers"]])
    return _html(str(info["data"]))


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(state_file: str) -> None:
    state = json.loads(Path(state_file).read_text(encoding="utf-8"))
    saml2.entity.pre_encryption_part = functools.partial(saml2.entity.pre_encryption_part, msg_enc=_AES)
    port = urlsplit(state["url"]).port
    with make_server(
        "127.0.0.1", port or 0, IdentityProvider(Path(state_file)), handler_class=_Silent
    ) as server:
        server.serve_forever()
