"""Connections to identity providers from the command line: added, filled, refreshed, their keys changed."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from lxml import etree

from tests.certificates import Certificates
from tests.https_server import Web, serve_https
from tests.journeys.shell import OWNER, Shell
from tests.saml_forge.keys import IDP, IDP_NEXT, OTHER_IDP, Key
from tests.saml_forge.messages import IDP_ENTITY, OTHER_IDP_ENTITY
from tests.saml_forge.metadata import SLO_URL, SSO_URL, entities, entity, role

BASE = "https://usher.example"
ID = r"[0-9a-f-]{36}"
ADDED = re.compile(
    rf"""Connection 'Corporate' is added\\. Give the identity provider, or let it read our metadata:
  Entity ID \\(audience\\)  {BASE}/saml/({ID})/metadata
  ACS URL \\(reply URL\\)   {BASE}/saml/({ID})/acs
  Single logout URL     {BASE}/saml/({ID})/slo
""".replace("\\\\", "\\")
)


def digest(key: Key) -> str:
    return sha256(key.certificate).hexdigest()


@pytest.fixture
def acme(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    shell.environ["USHER_PUBLIC_URL"] = BASE
    shell.set_up()
    shell.mark()
    return shell


@pytest.fixture
def web(acme: Shell, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """The identity provider's web server, which the service trusts and may reach."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    acme.environ["USHER_PRIVATE_TARGETS"] = "127.0.0.0/8"
    with serve_https(certificates.good) as served:
        yield served


def write(text: str, name: str = "idp.xml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def add(shell: Shell, *options: str) -> None:
    shell.answer("connection", "add", "Corporate", *options)
    shell.mark()


def add_with_metadata(shell: Shell) -> None:
    add(shell, "--metadata", write(entity()))


def test_a_connection_with_metadata_is_ready(acme: Shell) -> None:
    told = acme.answer("connection", "add", "Corporate", "--metadata", write(entity()), "--preset", "entra")

    found = ADDED.match(told)
    assert found is not None
    assert len(set(found.groups())) == 1
    assert told.endswith("</saml\nTry it: usher connection test Corporate\n".removeprefix("</saml\n"))
    shown = acme.json("connection", "show")
    assert {name: shown[name] for name in ("connection", "state", "version", "idp_entity_id", "sso_url")} == {
        "connection": "Corporate",
        "state": "ready",
        "version": 3,
        "idp_entity_id": IDP_ENTITY,
        "sso_url": SSO_URL,
    }
    assert shown["settings"] == {
        "preset": "entra",
        "idp_entity_id": IDP_ENTITY,
        "sso_url": SSO_URL,
        "sso_binding": "redirect",
        "slo_url": SLO_URL,
        "slo_binding": "redirect",
    }
    assert [(each["sha256"], each["state"]) for each in shown["certificates"]] == [(digest(IDP), "active")]
    assert [key["state"] for key in shown["keys"]] == ["active"]
    assert acme.new_actions() == [
        "connection.created",
        "certificate.added",
        "metadata.taken",
        "certificate.added",
    ]


def test_a_draft_gives_its_own_metadata_away_first(acme: Shell) -> None:
    told = acme.answer("connection", "add", "Corporate")
    assert "It is a draft. Then: usher connection metadata Corporate --file FILE\n" in told
    assert acme.json("connection", "show")["state"] == "draft"
    told = acme.fail(1, "connection", "test")
    assert told == (
        "connection 'Corporate' has no metadata of the identity provider yet; "
        "take it with 'usher connection metadata'"
    )

    document = etree.fromstring(acme.answer("connection", "metadata").encode())

    own = acme.json("connection", "show")
    assert document.get("entityID") == own["entity_id"]
    assert [each.get("Location") for each in document.iter("{*}AssertionConsumerService")] == [own["acs"]]
    assert {each.get("use") for each in document.iter("{*}KeyDescriptor")} == {"signing", "encryption"}
    acme.mark()
    told = acme.answer("connection", "metadata", "Corporate", "--file", write(entity()))
    assert told == (
        "The metadata of 'Corporate' is taken; the connection has version 3.\n"
        f"  idp_entity_id: - -> {IDP_ENTITY}\n"
        f"  sso_url: - -> {SSO_URL}\n"
        f"  slo_url: - -> {SLO_URL}\n"
        f"  certificate {digest(IDP)}: active, ends 2060-01-01 00:00:00 UTC\n"
    )
    assert acme.json("connection", "list")[0]["state"] == "ready"
    assert acme.new_actions() == ["metadata.taken", "certificate.added"]


def test_metadata_may_be_pasted(acme: Shell) -> None:
    result = acme.invoke("connection", "add", "Corporate", "--metadata", "-", stdin=entity().encode())

    assert result.exit_code == 0
    assert acme.json("connection", "show")["state"] == "ready"


def test_settings_are_given_and_changed_by_name(acme: Shell) -> None:
    acme.answer(
        "connection",
        "add",
        "Corporate",
        "--jit",
        "--default-role",
        "Member",
        "--set",
        "clock_skew_seconds=60",
        "--set",
        "initiated_targets=https://a.example/ https://b.example/x",
    )
    acme.mark()

    told = acme.answer("connection", "set", "Corporate", "clock_skew_seconds=", "force_authn=true")

    assert told == "Connection 'Corporate' has the version 3.\n"
    settings = acme.json("connection", "show")["settings"]
    assert settings == {
        "preset": "generic",
        "clock_skew_seconds": 120,
        "initiated_targets": "https://a.example/\nhttps://b.example/x",
        "jit": True,
        "default_role": "Member",
        "force_authn": True,
    }
    shown = acme.answer("connection", "show", "corp")
    assert "\n  clock_skew_seconds = 120\n" in shown
    assert "\n  force_authn = yes\n" in shown
    (event,) = acme.new_events()
    assert event["action"] == "connection.updated"
    assert {change["path"] for change in event["changes"]} == {
        "name",
        "version",
        "settings.clock_skew_seconds",
        "settings.force_authn",
    }


def test_the_list_tells_the_state_of_each(acme: Shell) -> None:
    assert acme.answer("connection", "list") == (
        "There is no connection yet; add one with 'usher connection add'.\n"
    )
    add_with_metadata(acme)
    acme.answer("connection", "add", "Second")
    acme.answer("connection", "set", "Corporate", "disabled=true")

    rows = acme.json("connection", "list")

    assert [(row["connection"], row["state"], row["certificates"], row["is_enforced"]) for row in rows] == [
        ("Corporate", "disabled", 1, False),
        ("Second", "draft", 0, False),
    ]
    assert rows[0]["metadata_state"].startswith("taken 20")
    assert rows[1]["metadata_state"] == "none"
    assert "Identity provider" in acme.answer("connection", "list")


def test_a_connection_is_removed_when_that_is_confirmed(acme: Shell) -> None:
    add_with_metadata(acme)
    asked = acme.invoke("connection", "remove", "Corporate", stdin="n\n")
    assert asked.exit_code == 130
    assert "Nobody could sign in over 'Corporate' any more. Remove it?" in asked.stderr

    assert acme.answer("connection", "remove", "Corporate", "--yes") == "Connection 'Corporate' is removed.\n"

    assert acme.new_actions() == ["connection.deleted"]
    assert acme.json("connection", "list") == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (
            ["add", "X", "--metadata", "idp.xml", "--metadata-url", "https://idp.example/"],
            2,
            "give the metadata either by --metadata or by --metadata-url",
        ),
        (["add", "X", "--metadata", "none.xml"], 3, "'none.xml': No such file or directory"),
        (["add", "X", "--metadata", "page.html"], 1, "the metadata is no XML; was the page saved"),
        (["add", "Corporate"], 1, "a connection named 'Corporate' exists; choose another name"),
        (["add", "X", "--metadata", "several.xml"], 1, f"which one is meant: {IDP_ENTITY}, {OTHER_IDP_ENTITY}"),
        (
            ["add", "X", "--metadata", "idp.xml", "--entity-id", "urn:wanted"],
            1,
            "the metadata does not name the identity provider 'urn:wanted'",
        ),
        (["add", "X", "--metadata-url", "http://idp.example/"], 3, "the address must begin with https://"),
        (["add", "X", "--metadata-url", "https://127.0.0.1:1/"], 3, "USHER_PRIVATE_TARGETS"),
        (["add", "X", "--default-role", "Emperor"], 1, "Emperor"),
        (["add", "X", "--set", "clock_skew=5"], 2, "did you mean clock_skew_seconds?"),
        (
            ["set", "Corporate", "clock_skew_seconds=9999", "slo_binding=soap"],
            1,
            "setting 'slo_binding' is one of redirect, post, not 'soap'; setting 'clock_skew_seconds' is a whole "
            "number from 0 to 300, not '9999'",
        ),
        (["show", "None"], 1, "there is no connection 'None'; list them with 'usher connection list'"),
        (
            ["metadata", "--file", "idp.xml", "--refresh"],
            2,
            "give one of --file, --url and --refresh",
        ),
        (["metadata", "--refresh"], 1, "the connection has no address of metadata; give one with --url"),
        (["rotate", "Corporate", "use"], 1, "there is no next key; publish one first"),
        (["rotate", "Corporate", "retire"], 1, "there is no key to retire: only the active one is left"),
        (["certificate", "add", "Corporate", "key.bin"], 1, "'key.bin' is no certificate in PEM"),
        (["certificate", "add", "Corporate", "page.html"], 1, "a certificate cannot be read"),
        (["certificate", "add", "Corporate", "none.pem"], 3, "'none.pem': No such file or directory"),
        (
            ["certificate", "retire", "Corporate", "ffff"],
            1,
            "no single certificate of the connection begins with 'ffff'; 'usher connection show' lists their SHA-256",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_stored(
    acme: Shell, words: list[str], code: int, text: str
) -> None:
    add_with_metadata(acme)
    write("<html><p>Sign in</html>", "page.html")
    write(entities(entity(), entity(role(keys=[OTHER_IDP]), entity_id=OTHER_IDP_ENTITY)), "several.xml")
    Path("key.bin").write_bytes(b"\xff\x00")
    before = acme.json("connection", "list")

    assert text in acme.fail(code, "connection", *words)

    assert acme.json("connection", "list") == before
    assert set(acme.new_actions()) <= {"command.refused"}


def test_without_any_connection_it_is_said_how_to_add_one(acme: Shell) -> None:
    told = acme.fail(1, "connection", "show")

    assert told == "there is no connection yet; add one with 'usher connection add'"


def test_one_provider_of_a_federation_is_chosen_by_its_entity_id(acme: Shell) -> None:
    several = entities(entity(), entity(role(keys=[OTHER_IDP]), entity_id=OTHER_IDP_ENTITY))

    add(acme, "--metadata", write(several), "--entity-id", OTHER_IDP_ENTITY)

    shown = acme.json("connection", "show")
    assert shown["idp_entity_id"] == OTHER_IDP_ENTITY
    assert [each["sha256"] for each in shown["certificates"]] == [digest(OTHER_IDP)]
    # Later the one that is trusted is found again.
    acme.answer("connection", "metadata", "--file", write(several))
    assert acme.json("connection", "show")["idp_entity_id"] == OTHER_IDP_ENTITY


def test_another_entity_id_is_never_taken_over_by_itself(acme: Shell) -> None:
    add_with_metadata(acme)

    told = acme.fail(1, "connection", "metadata", "--file", write(entity(entity_id="urn:taken-over")))

    assert told == (
        f"the metadata is of 'urn:taken-over', and the connection trusts '{IDP_ENTITY}'; nothing was taken. "
        "Change the entity id of the connection first, if that is meant"
    )
    acme.answer("connection", "set", "Corporate", "idp_entity_id=urn:taken-over")
    acme.answer("connection", "metadata", "--file", write(entity(entity_id="urn:taken-over")))
    assert acme.json("connection", "show")["idp_entity_id"] == "urn:taken-over"


@pytest.mark.parametrize("comes_late", [False, True])
def test_a_provider_that_wants_signed_requests_gets_them(acme: Shell, comes_late: bool) -> None:
    wish = role().replace("<md:IDPSSODescriptor ", '<md:IDPSSODescriptor WantAuthnRequestsSigned="true" ')
    if comes_late:
        add(acme)
        acme.answer("connection", "metadata", "--file", write(entity(wish)))
    else:
        add(acme, "--metadata", write(entity(wish)))

    assert acme.json("connection", "show")["settings"]["sign_requests"] is True
    acme.answer("connection", "set", "Corporate", "sign_requests=false")
    acme.answer("connection", "metadata", "--file", write(entity(wish)))
    assert acme.json("connection", "show")["settings"]["sign_requests"] is False


# By address


def test_metadata_is_read_from_its_address_and_read_anew(acme: Shell, web: Web) -> None:
    web.documents["/idp"] = entity()
    added = acme.json("connection", "add", "Corporate", "--metadata-url", f"{web.url}/idp")
    assert added["settings"]["metadata_url"] == f"{web.url}/idp"
    assert added["acs"] == f"{BASE}/saml/{added['id']}/acs"
    acme.mark()

    told = acme.answer("connection", "metadata", "--refresh")
    assert told == "The metadata of 'Corporate' is taken; the connection has version 3.\n"
    assert acme.new_actions() == []
    (first, again) = web.asked
    assert first == ("/idp", "")
    assert again[1].startswith('"')

    web.documents["/idp"] = entity(role(keys=[IDP, IDP_NEXT]))
    told = acme.answer("connection", "metadata", "--refresh")
    assert f"  certificate {digest(IDP_NEXT)}: active" in told
    assert acme.new_actions() == ["metadata.taken", "certificate.added"]
    web.documents["/idp"] = entity(role(keys=[IDP_NEXT]))
    told = acme.answer("connection", "metadata", "--refresh")
    assert re.search(
        rf"  certificate {digest(IDP)}: active, ends 2060-01-01 00:00:00 UTC, verifies until 20", told
    )
    assert acme.new_actions() == ["metadata.taken", "certificate.retired"]


def test_an_address_takes_the_place_of_a_file(acme: Shell, web: Web) -> None:
    add_with_metadata(acme)
    web.documents["/idp"] = entity(role(sso="https://idp.example.org/new"))

    shown = acme.json("connection", "metadata", "Corporate", "--url", f"{web.url}/idp")

    assert shown["sso_url"] == "https://idp.example.org/new"
    assert shown["settings"]["metadata_url"] == f"{web.url}/idp"
    assert acme.new_actions() == ["metadata.taken", "connection.updated"]


@pytest.mark.parametrize(
    ("served", "reason", "text"),
    [
        (302, "metadata", "the address of the metadata answered 302 instead of the document"),
        (500, "metadata", "the address of the metadata answered 500 instead of the document"),
        ("<html/>", "metadata", "this is XML, but no SAML 2.0 metadata"),
        (entity(ends="2020-01-01T00:00:00Z"), "metadata", "was valid until 2020-01-01 00:00 UTC only"),
        (entity(entity_id="urn:taken-over"), "entity_id_changed", "nothing was taken"),
        (" " * 1_100_000, "size", "localhost sent more than the 1048576 bytes that are taken"),
    ],
)
def test_the_last_good_copy_stays_in_force_while_reading_fails(
    acme: Shell, web: Web, served: str | int, reason: str, text: str
) -> None:
    web.documents["/idp"] = entity()
    add(acme, "--metadata-url", f"{web.url}/idp")
    before = acme.json("connection", "show")
    web.documents["/idp"] = served

    told = acme.fail(1, "connection", "metadata", "--refresh")
    assert text in told
    assert told.endswith("The last good copy stays in force.")
    assert text in acme.fail(1, "connection", "metadata", "--refresh")

    failing = acme.json("connection", "show")
    assert failing["metadata_state"].startswith("failing since 20")
    assert f"({reason}); the copy of 20" in failing["metadata_state"]
    assert {**failing, "metadata_state": ""} == {**before, "metadata_state": ""}
    (event,) = [each for each in acme.new_events() if each["action"] != "command.refused"]
    assert (event["action"], event["reason"]) == ("metadata.failed", {"code": reason})
    web.documents["/idp"] = entity()
    acme.answer("connection", "metadata", "--refresh")
    assert acme.json("connection", "show")["metadata_state"].startswith("taken 20")
    assert acme.new_actions() == ["metadata.taken"]


def test_a_server_whose_certificate_nobody_trusts_is_not_read(
    acme: Shell, web: Web, monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.other_authority))

    told = acme.fail(3, "connection", "add", "Corporate", "--metadata-url", f"{web.url}/idp")

    assert told.startswith("the certificate of localhost is not trusted: ")
    assert web.asked == []


def test_metadata_of_a_pinned_signer_is_taken_only_signed(acme: Shell) -> None:
    add(acme, "--set", f"metadata_signer={digest(OTHER_IDP)}")

    told = acme.fail(1, "connection", "metadata", "--file", write(entity()))

    assert told == "the metadata is not signed, and this connection takes signed metadata only"


# Certificates and keys


def test_certificates_are_staged_activated_and_retired_by_hand(acme: Shell) -> None:
    add_with_metadata(acme)
    Path("next.pem").write_bytes(IDP_NEXT.certificate_pem)

    def states() -> dict[str, str]:
        shown = acme.json("connection", "show")
        return {each["sha256"]: each["state"] for each in shown["certificates"]}

    staged = acme.answer("connection", "certificate", "add", "Corporate", "next.pem", "--staged")
    assert staged == "The certificate is staged.\n"
    assert states() == {digest(IDP): "active", digest(IDP_NEXT): "staged"}
    acme.answer("connection", "certificate", "activate", "Corporate", digest(IDP_NEXT)[:12])
    told = acme.answer("connection", "certificate", "retire", "Corporate", digest(IDP)[:12], "--at", "7")
    assert told == "The certificate is to be retired.\n"
    assert ", verifies until 20" in acme.answer("connection", "show")
    assert states() == {digest(IDP): "active", digest(IDP_NEXT): "active"}
    told = acme.answer("connection", "certificate", "retire", "Corporate", digest(IDP).upper())
    assert told == "The certificate is retired.\n"

    assert states() == {digest(IDP): "retired", digest(IDP_NEXT): "active"}
    assert acme.new_actions() == [
        "certificate.added",
        "certificate.updated",
        "certificate.retired",
        "certificate.retired",
    ]
    added = acme.answer("connection", "certificate", "add", "Corporate", "next.pem")
    assert added == "The certificate is added.\n"
    assert acme.new_actions() == []


def test_our_key_is_changed_in_three_steps(acme: Shell) -> None:
    add_with_metadata(acme)

    def published() -> list[str]:
        document = etree.fromstring(acme.answer("connection", "metadata").encode())
        return [
            each.text or ""
            for each in document.iterfind(".//{*}KeyDescriptor[@use='signing']//{*}X509Certificate")
        ]

    (old,) = published()
    told = acme.answer("connection", "rotate", "Corporate", "publish")
    assert told.endswith(
        "Let the identity provider read our metadata, then: 'usher connection rotate NAME use'.\n"
    )
    assert published()[0] == old
    (_, new) = published()
    assert "two keys are published already" in acme.fail(1, "connection", "rotate", "Corporate", "publish")
    told = acme.answer("connection", "rotate", "Corporate", "use")
    assert re.match(
        rf"Keys: {ID} \((active|previous)\), {ID} \((active|previous)\)\. Once the provider", told
    )
    assert published() == [new, old]
    told = acme.answer("connection", "rotate", "Corporate", "retire")
    assert told.endswith("The old key is destroyed.\n")

    assert published() == [new]
    assert acme.new_actions() == [
        "certificate.added",
        "command.refused",
        "certificate.updated",
        "certificate.retired",
    ]
    (key,) = acme.json("connection", "show")["keys"]
    with acme.read() as reader:
        (known,) = reader.sso.connections()
        private = reader.sso.sp_private_key(known.connection_id, key["id"])
    assert private is not None
    assert private not in (acme.folder / "var" / "usher.db").read_bytes()


# Enforcement, as far as it goes without a test login


def test_nobody_is_made_to_sign_in_over_what_was_not_tested(acme: Shell) -> None:
    add_with_metadata(acme)
    assert acme.answer("connection", "enforcement") == "Signing in is not obligatory.\n"

    told = acme.fail(1, "connection", "enforce", "Corporate")
    assert told == "no mail domain of the organisation is verified; verify one first"
    acme.answer("organisation", "add-domain", "acme.example")
    acme.mark()
    told = acme.fail(1, "connection", "enforce", "Corporate")

    assert told == "you have not passed a test login over 'Corporate' as it is now; do that first"
    assert acme.new_actions() == ["command.refused"]
    told = acme.fail(1, "connection", "enforce", "--resume")
    assert told == "signing in is not obligatory over any connection; there is nothing to resume"
    told = acme.fail(1, "connection", "test", "--show", "0190")
    assert told == (
        "there is no test '0190' of yours; its result is kept for an hour. Begin another with 'usher connection test'"
    )
    told = acme.answer("connection", "lift")
    assert told == "Signing in over a connection is not obligatory any more.\n"
    assert acme.json("connection", "enforcement") == {"enforced": False, "recovery_codes": 0}


def test_recovery_codes_are_shown_once_and_kept_as_digests(acme: Shell) -> None:
    told = acme.answer("connection", "recovery", OWNER)

    assert told.startswith(
        "Recovery codes of Olivia Owner; older ones are good no more. They are shown this once:\n"
    )
    codes = re.findall(r"^  ((?:[a-z2-7]{4}-){3}[a-z2-7]{4})$", told, re.MULTILINE)
    assert len(set(codes)) == 10
    assert told.endswith(f"Each is good once, at {BASE}/sso/recovery\n")
    with acme.read() as reader:
        stored = {code.digest for code in reader.sso.recovery_codes()}
    assert stored == {sha256(code.encode()).digest() for code in codes}
    (event,) = acme.new_events()
    assert event["action"] == "breakglass.armed"
    assert not any(code in str(event) for code in codes)
    assert acme.json("connection", "enforcement")["recovery_codes"] == 10
    assert len(acme.json("connection", "recovery", OWNER)["codes"]) == 10
    assert (
        acme.answer("connection", "recovery", OWNER, "--remove")
        == "Olivia Owner has no recovery codes any more.\n"
    )
    assert acme.json("connection", "enforcement")["recovery_codes"] == 0
