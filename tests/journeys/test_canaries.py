"""Secrets and names that stand out are pushed through every path, and everything is searched for them afterwards.

What is never written, docs/security.md says: no secret anywhere but sealed, no clear name in the log.
"""

import base64
import io
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest
import structlog
from click.testing import Result

from directory.sso_changes import PutRecoveryCodes
from provisioning.stream_settings import STREAM_KINDS
from service.login_tests import begin_test
from service.logs import set_up_logs
from service.metrics import Metrics
from service.settings import Settings
from service.streams import StreamSender
from tests.certificates import Certificates
from tests.journeys.exports import Person, export
from tests.journeys.haystack import Haystack, of_the_log
from tests.journeys.pushes import USER, Provider, add_scim, provider
from tests.journeys.shell import Shell
from tests.journeys.sso_scene import OWNER, Scene, read_redirect
from tests.journeys.test_oidc_login import Application, landing, way_of
from tests.log_checks import check_logs
from tests.saml_forge.keys import ATTACKER, SP
from tests.streams.receivers import HTTPSReceiver

SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
MOST_SHOWN = 25
WEBHOOK_QUERY = "webhook's query"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SIGNED_IN = {
    "given name": "Canariella",
    "family name": "Featherbottom",
    "mail": "canariella@example.org",
    "NameID": "canariella-nameid-77",
    "stranger": "canaria.stranger@elsewhere.example",
    "owner": "olivia@example.org",
    "owner's name": "Olivia Owner",
    "address": "203.0.113.77",
}
CANARIES = (
    "SCIM password",
    "cookie",
    "query",
    "sought password",
    "wrong token",
    "basic",
    "bind password",
    "next password",
    "new password",
)
NAMES = {
    "display name": "Canaria Featherstone",
    "mail": "canaria@acme.example",
    "user name": "canaria.scim",
    "external id": "canaria-external-7",
    "telephone": "+44-7700-canaria",
    "department head": "Canaria Overseer",
    "owner": "Canaria Owner",
    "owner's mail": "canaria.owner@acme.example",
    "DN": "uid=canariafinch,ou=people,dc=acme",
    "LDAP name": "Canariafinch Example",
    "guest": "canaria.guest@elsewhere.example",
    "guest's name": "Canaria Guestperson",
}


class WatchedShell(Shell):
    """Keeps everything that commands print."""

    printed: list[tuple[str, str]]

    def invoke(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        result = super().invoke(*arguments, stdin=stdin)
        if not hasattr(self, "printed"):
            self.printed = []
        self.printed.append((f"output of {' '.join(arguments[:2])}", f"{result.stdout}{result.stderr}"))
        return result


@pytest.fixture
def watched(either_shell: Shell) -> WatchedShell:
    shell = WatchedShell(either_shell.folder, either_shell.environ.get("USHER_DATABASE_URL", ""))
    shell.environ |= {"USHER_PRIVATE_TARGETS": "127.0.0.0/8,::1/128", "USHER_LOG_LEVEL": "debug"}
    return shell


@pytest.fixture
def process_log() -> Iterator[io.StringIO]:
    """What the process and its libraries log, down to the last detail."""
    stream, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up_logs(replace(Settings(), log_level="debug", log_format="json"), stream=stream)
    root.setLevel(logging.DEBUG)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def receiver(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPSReceiver]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with HTTPSReceiver(certificates) as running:
        yield running


def seal_and_send(shell: Shell) -> None:
    shell.answer("audit", "seal")
    with shell.wiring() as wiring:
        sender = StreamSender(wiring, Metrics())
        sender.pump()
        sender.close()


def push_people(idp: Provider, secrets: Mapping[str, str]) -> None:
    """People whose bodies, headers and addresses hold secrets: accepted, refused, unreadable, let in by nobody."""
    password = {"password": secrets["SCIM password"]}
    person = {
        "displayName": NAMES["display name"],
        "name": {"formatted": NAMES["display name"], "givenName": "Canaria", "familyName": "Featherstone"},
        "emails": [{"value": NAMES["mail"], "primary": True}],
        "phoneNumbers": [{"value": NAMES["telephone"]}],
        "externalId": NAMES["external id"],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "manager": {"displayName": NAMES["department head"]}
        },
    }
    whole = {"schemas": [USER], "userName": NAMES["user name"], **person, **password}
    made = idp.ask("POST", "Users", whole)
    assert made.status_code == 201
    path = f"Users/{made.get_json()['id']}"
    assert idp.ask("POST", "Users", whole).status_code == 409
    assert idp.ask("PUT", path, {**whole, "title": "Weaver"}).status_code == 200
    for operation in (
        {"op": "replace", "path": "password", "value": secrets["SCIM password"]},
        {"op": "replace", "value": password},
        {"op": "replace", "path": f'password[value eq "{secrets["SCIM password"]}"].value', "value": 7},
        {"op": "replace", "path": "password", "value": {"value": secrets["SCIM password"]}},
        {"op": "add", "path": "x-password", "value": secrets["SCIM password"]},
    ):
        idp.ask("PATCH", path, {"schemas": [PATCH], "Operations": [operation]})
    unknown = {"x-canary": secrets["SCIM password"], "bindPassword": secrets["SCIM password"]}
    idp.add_user("canaria.other", **unknown)
    asked = {"Cookie": f"session={secrets['cookie']}"}
    idp.ask("GET", "Users", query=f"access_token={secrets['query']}", headers=asked)
    for searched in ("Users", "Users/.search"):
        sought = f'password eq "{secrets["sought password"]}"'
        idp.ask("GET", searched, query=f"filter={sought}")
        idp.ask(
            "POST", searched, {"schemas": [SEARCH], "filter": sought, "password": [secrets["SCIM password"]]}
        )
    idp.ask("GET", "Users", headers={"Authorization": f"Bearer {secrets['wrong token']}"})
    idp.ask("GET", "Users", headers={"Authorization": f"Basic {secrets['basic']}"})
    idp.ask("POST", "Users", None, headers={"Content-Type": "application/scim+json"})
    assert idp.ask("DELETE", path).status_code == 204


# Settings beside the required ones, without which a secret is refused or nobody is reached here.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "kafka": {"user": "word"},
    "s3": {"endpoint": "origin"},
    "sentinel": {"authority": "url"},
}


def stream_setting(name: str, form: str, receiver: HTTPSReceiver, certificates: Certificates) -> str:
    """A value for a setting, by its form or name. Nothing listens on port 1."""
    known = {
        "url": receiver.url,
        "host": "127.0.0.1",
        "port": str(urlsplit(receiver.url).port),
        "pem": certificates.authority.read_text(),
        "word": "usher",
        "index": "usher-audit",
        "line": "usher",
        "rule": f"dcr-{'0' * 32}",
        "brokers": "127.0.0.1:1",
        "topic": "usher",
        "authority": f"https://127.0.0.1:{urlsplit(receiver.url).port}",
        "endpoint": f"https://127.0.0.1:{urlsplit(receiver.url).port}",
        "bucket": "usher",
        "region": "eu-west-1",
        "access_key": "AKIDEXAMPLE",
        "container": f"https://127.0.0.1:{urlsplit(receiver.url).port}/account/usher",
    }
    value = known.get(name) or known.get(form)
    assert value, f"say here what a stream's setting '{name}' of the form '{form}' may be"
    return value


def add_streams(shell: Shell, receiver: HTTPSReceiver, certificates: Certificates) -> dict[str, str]:
    """A stream of every kind with every secret that it can have, each tried out and changed; the secrets."""
    secrets = {}
    for kind, known in STREAM_KINDS.items():
        given = []
        for name, form in {**known.required, **OPTIONS.get(kind, {})}.items():
            given += ["--set", f"{name}={stream_setting(name, form, receiver, certificates)}"]
        for name in known.secrets:
            path = shell.folder / "given.secret"
            if name in {"client_certificate", "client_key"}:
                pair = certificates.good
                path.write_bytes((pair.key if name == "client_key" else pair.certificate).read_bytes())
            else:
                secrets[f"{kind}'s {name}"] = secret = f"canarysecret{kind}{name.replace('_', '')}1"
                path.write_text(f"sv=2024&sig={secret}" if name == "sas" else secret)
            given += ["--secret-file", f"{name}={path}"]
            shell.folder.joinpath(f"{name}.secret").write_bytes(path.read_bytes())
            given[-1] = f"{name}={shell.folder / f'{name}.secret'}"
        added = shell.invoke("stream", "add", kind, "--to", kind, "--after", "-1", *given)
        assert added.exit_code == 0, added.stderr
        shell.invoke("stream", "test", kind)
        shell.answer("stream", "show", kind)
    return secrets


def key_of(path: Path) -> str:
    """The middle of a private key in PEM."""
    return path.read_text().splitlines()[1][8:48]


def read_everything(shell: Shell, haystack: Haystack) -> None:
    """Every view and export of the log that the command line has."""
    for form in ("jsonl", "csv", "ocsf"):
        haystack.add(f"export {form}", shell.answer("audit", "export", "--format", form))
    bundle = shell.folder / "record.zip"
    shell.answer("audit", "export", "--format", "bundle", "--output", str(bundle))
    with ZipFile(bundle) as archive:
        for name in archive.namelist():
            haystack.add(f"bundle {name}", archive.read(name))
    events = shell.json("audit", "list", "--all", "--limit", "1000")
    for event in events[:MOST_SHOWN]:
        shell.answer("audit", "show", event["id"], "--children")
    for report in ("leavers", "own-grants", "overrides", "guard", "orphans", "configuration"):
        shell.answer("audit", "report", report)
    review = shell.json("audit", "review", "start")
    shell.answer("audit", "review", "show", review["review"])
    for words in (
        "stream list",
        "directory list",
        "token list",
        "doctor",
        "audit verify",
        "audit seal-status",
    ):
        shell.invoke(*words.split())
        shell.invoke(*words.split(), "--json")


@pytest.mark.usefixtures("process_log")
def test_no_secret_of_a_directory_or_a_stream_is_seen_again(
    watched: WatchedShell, receiver: HTTPSReceiver, certificates: Certificates, process_log: io.StringIO
) -> None:
    shell = watched
    shell.answer("db", "upgrade")
    shell.answer("environment", "load", "minut")
    owner = ("--owner-mail", NAMES["owner's mail"], "--owner-name", NAMES["owner"])
    shell.answer("organisation", "create", "Acme Stays", "--environment", "minut", "--plan", "Pro", *owner)
    secrets = {name: f"canary-{name.replace(' ', '')}-Zq7" for name in CANARIES}

    # Directories: pushed, read over LDAP (nobody is there), read from a file.
    base_url, token = add_scim(shell)
    with provider(shell, base_url, token) as idp:
        push_people(idp, secrets)
    bind = shell.folder / "bind.secret"
    bind.write_text(secrets["bind password"])
    server = (
        "--server",
        "ldap://127.0.0.1:1",
        "--tls",
        "plain",
        "--user-base",
        "ou=people,dc=acme,dc=example",
    )
    reader = ("--bind-dn", "cn=reader,dc=acme,dc=example", "--password-file", str(bind))
    shell.answer("directory", "add-ldap", "hq", *server, "--dialect", "openldap", *reader)
    shell.answer("directory", "test", *server, *reader, code=3)
    shell.answer("sync", "run", "hq", code=3)
    for name, options in (("next password", ["--next"]), ("new password", [])):
        assert shell.invoke("directory", "set-password", "hq", *options, stdin=secrets[name]).exit_code == 0
    shell.write_export(export([Person("canariafinch")], {}), "office.ldif")
    shell.add_directory("office")
    shell.answer("sync", "run", "office")
    guest = ("--name", NAMES["guest's name"], "--role", "Member")
    shell.invoke("member", "invite", NAMES["guest"], *guest)
    shell.invoke("member", "block", NAMES["owner's mail"], "--reason", "looked at")

    # Streams of every kind, and the keys of the service itself.
    secrets |= add_streams(shell, receiver, certificates)
    seal_and_send(shell)
    key_file, log_key = shell.settings.key_file, shell.settings.log_key_file
    secrets["secret key"] = key_file.read_text().strip().rpartition(":")[2]
    shell.answer("db", "rotate-key")
    secrets["fresh secret key"] = key_file.read_text().splitlines()[0].rpartition(":")[2]
    secrets["log key"] = log_key.read_text().strip().splitlines()[-1].split("+", 4)[4]
    shell.answer("audit", "rotate-key")
    secrets["fresh log key"] = log_key.read_text().strip().splitlines()[0].split("+", 4)[4]
    secrets["client key"] = key_of(certificates.good.key)
    seal_and_send(shell)

    with shell.wiring() as wiring:
        check_logs(wiring)
        haystack = Haystack(wiring.database, shell.folder / "var", frozenset({key_file, log_key}))
        read_everything(shell, haystack)
        for row in shell.json("scim", "log"):
            shell.answer("scim", "show", row["id"])
            shell.invoke("scim", "replay", row["id"])
        for output in shell.printed:
            haystack.add(*output)
        haystack.add("process log", process_log.getvalue())
        for one in receiver.received:
            haystack.add(f"sent to {one.path.partition('?')[0]}", one.body)
        assert f"/hook?{secrets[WEBHOOK_QUERY]}" in {one.path for one in receiver.received}
        # Shown once, and handed to whom it is for.
        meant = {("SCIM token", "output of token create")}
        meant.add(("sentinel's client_secret", "sent to /127.0.0.1/oauth2/v2.0/token"))
        everything = {**secrets, "SCIM token": token}

        assert haystack.find(everything, may_hold=frozenset(meant)) == []
        assert haystack.find(NAMES, is_meant=of_the_log) == []
        # The search itself works: names stand where they belong.
        assert "mail in directory_user.mails" in haystack.find(NAMES)
        assert any("display name in sent to" in where for where in haystack.find(NAMES))


def sign_in_everywhere(scene: Scene, haystack: Haystack) -> dict[str, str]:
    """Logins that succeed and that fail, at the service and at an application; the secrets that they went by."""
    ours, index = scene.ours, "_canary-session-index-Zq7"
    application, browser = Application(scene), scene.browser(SIGNED_IN["address"])
    values = {
        "email": [SIGNED_IN["mail"]],
        "firstName": [SIGNED_IN["given name"]],
        "lastName": [SIGNED_IN["family name"]],
    }
    said: dict[str, Any] = {"values": values, "name_id": SIGNED_IN["NameID"], "index": index}
    asked = ours.begin(browser, way_of(browser.get(application.begin())))
    response = ours.response(asked, **said)
    assertion = base64.b64decode(response).decode()
    back = ours.answer(browser, asked, value=response)
    landed = browser.get(back.headers["Location"])
    tokens = application.tokens(landed)
    refreshed = application.exchange(
        grant_type="refresh_token", refresh_token=tokens["refresh_token"]
    ).get_json()
    secrets = {
        "response": response[80:160],
        "signature": re.findall(r"SignatureValue>([^<]{60})", assertion)[0],
        "session index": index,
        "cookie": browser.token,
        "client secret": application.secret,
        "code": landing(landed)["code"],
        **{name: tokens[name] for name in ("access_token", "refresh_token", "id_token")},
        **{f"second {name}": refreshed[name] for name in ("access_token", "refresh_token", "id_token")},
        "key of ours": SP.private_pem.decode().splitlines()[3],
    }
    application.server.get("/oidc/userinfo", headers={"Authorization": f"Bearer {tokens['access_token']}x"})
    application.exchange(
        grant_type="authorization_code", code=secrets["code"], client_secret="canary-wrong-secret"
    )
    # The same once more, another provider's signature, another audience, a stranger, what is no response at all.
    ours.answer(browser, asked, value=response)
    ours.sign_in(browser, **said, key=ATTACKER)
    ours.sign_in(browser, **said, audience="https://elsewhere.example")
    ours.sign_in(
        browser, **{**said, "values": {"email": [SIGNED_IN["stranger"]]}, "name_id": "canaria-other"}
    )
    browser.post(f"{ours.path}/acs", {"SAMLResponse": secrets["response"], "RelayState": "canary-relay-Zq7"})
    # A test login, which keeps a report; recovery codes, good and wrong ones.
    link = begin_test(ours.administration, ours.stored)
    tested = ours.answer(browser, read_redirect(browser.get(link).headers["Location"]), **said)
    report = browser.get(tested.headers["Location"]).get_data(as_text=True)
    assert SIGNED_IN["given name"] in report
    secrets["link of the test"] = link.partition("key=")[2]
    secrets["recovery code"] = "abcd-efgh-2345-mnop"
    code = sha256(secrets["recovery code"].encode()).digest()
    ours.do(PutRecoveryCodes(ours.member(OWNER), (code,)))
    for typed in (secrets["recovery code"], "canary-wrong-code"):
        scene.browser().post("/sso/recovery", {"code": typed})
    # Signed out by the provider, and from outside.
    ours.sign_in(browser, **said)
    secrets["second cookie"] = browser.token
    logout = ours.signed_query(ours.logout_request(SIGNED_IN["NameID"], index))
    browser.get(f"{ours.path}/slo?{logout}")
    return secrets


def test_no_secret_of_a_login_is_seen_again(either_scene: Scene, process_log: io.StringIO) -> None:
    scene = either_scene
    shell = WatchedShell(scene.folder, scene.database_url)
    keys = frozenset({scene.wiring.settings.key_file, scene.wiring.settings.log_key_file})
    haystack = Haystack(scene.wiring.database, scene.folder / "var", keys)
    scene.ours.set(jit=True, default_role="Member")

    secrets = sign_in_everywhere(scene, haystack)

    shell.answer("client", "rotate-key")
    shell.answer("audit", "seal")
    shell.environ["USHER_ORGANISATION"] = "Acme"
    read_everything(shell, haystack)
    for words in ("client list", "connection list", "session list", "domain list", "member list"):
        shell.invoke(*words.split())
    shell.invoke("connection", "show", "Acme ID")
    for output in shell.printed:
        haystack.add(*output)
    haystack.add("process log", process_log.getvalue())
    assert "login refused" in process_log.getvalue()
    # What a logout is told by stands in the session until it has ended, and nowhere else.
    kept = {("session index", "login_session.session_index"), ("session index", "file usher.db")}
    kept |= {("session index", "file usher.db-wal")}
    assert haystack.find(secrets, may_hold=frozenset(kept)) == []
    assert haystack.find(SIGNED_IN, is_meant=of_the_log) == []
    assert "mail in member.mail" in haystack.find(SIGNED_IN)
