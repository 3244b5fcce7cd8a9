"""Every command that a guide shows is run, in order, as the reader would."""

import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from audit.actors import AdminActor
from service.app import REQUEST_LOG
from service.demo import prepare_demo
from tests.architecture.project import ROOT
from tests.certificates import Certificates
from tests.journeys.sequences import Player, load_sequence, make_client
from tests.journeys.shell import Shell
from tests.slapd import PASSWORD, SlapdFactory, account

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAYLOAD = re.compile(r"\]\(\.\./\.\./(tests/payloads/[a-z]+/[a-z0-9-]+\.json)\)")
TOKEN = re.compile(r"^usher_scim_\S+$", re.MULTILINE)
BASE_URL = re.compile(r"^Base URL: (https?://[^/]+)(\S+)$", re.MULTILINE)
SCIM_GUIDES = ("entra", "generic-scim", "google", "jumpcloud", "okta", "onelogin")
EXPORT = ROOT / "tests" / "payloads" / "openldap" / "openldap-2k.ldif.gz"


def commands_of(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return [line for block in BLOCK.findall(text) for line in block.splitlines()]


def run(shell: Shell, line: str) -> str:
    return shell.answer(*shlex.split(line.removeprefix("usher ")))


def test_the_guide_to_ldif_leads_from_an_export_to_roles(
    blank_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blank_shell.exports.mkdir(parents=True)
    shutil.copy(EXPORT, blank_shell.exports / "hq.ldif.gz")

    outputs = [(line, run(blank_shell, line)) for line in commands_of("docs/guides/ldif.md")]

    seats = [output for line, output in outputs if line == "usher seats"]
    assert "2000 users added" in dict(outputs)["usher sync run hq"]
    assert "5 of 5 seats used (plan Standard)" in seats[0]
    assert "wait" not in seats[1]
    assert (tmp_path / "events.csv").stat().st_size > 0


def test_the_guide_for_auditors_answers_on_the_sample_companies(
    blank_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blank_shell.answer("db", "upgrade")
    with blank_shell.wiring() as wiring:
        prepare_demo(wiring, AdminActor("operator:tests", is_operator=True), tell=lambda _line: None)

    outputs = {line: run(blank_shell, line) for line in commands_of("docs/guides/auditors.md")}

    assert "No such event." not in outputs["usher audit list --about oskar.holm@kusthem.example -o Kusthem"]
    assert "oskar" in outputs["usher access as-of now --member oskar.holm -o Kusthem"].lower()
    assert "granted" in outputs["usher audit list --action role. --cause mapping_rule --limit 10 -o Kusthem"]
    assert "wrote rule" in outputs["usher audit report configuration --since 90d -o Kusthem"]
    assert (tmp_path / "record.jsonl").stat().st_size > (tmp_path / "roles.csv").stat().st_size > 0


@pytest.mark.slapd
def test_the_guide_to_openldap_leads_from_a_look_at_the_server_to_a_new_password(
    blank_shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_slapd: SlapdFactory,
    certificates: Certificates,
) -> None:
    slapd = make_slapd(EXPORT)
    monkeypatch.chdir(tmp_path)
    prepare_reader(tmp_path, certificates)
    meant = {
        "ldap.example.org": f"localhost:{slapd.tls_port}",
        "cn=usher,ou=services,dc=example,dc=org": account("reader"),
    }

    outputs = [
        (line, run(blank_shell, replaced(line, meant))) for line in commands_of("docs/guides/openldap.md")
    ]

    told = dict(outputs)
    assert "The first 10 of 2000 people:" in outputs[3][1]
    assert "2000 people would be new" in told["usher directory preview hq"]
    assert "5 of 5 seats used (plan Standard)" in told["usher seats"]
    assert "the old one, which is forgotten" in outputs[-1][1]


@pytest.mark.parametrize("guide", ["active-directory", "389ds"])
def test_the_guide_to_a_server_that_is_not_here_asks_it_in_the_right_words(
    blank_shell: Shell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificates: Certificates,
    guide: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare_reader(tmp_path, certificates)
    meant = {f"{name}.example.org": "127.0.0.1:1" for name in ("ldap", "dc1", "dc2")}
    needs_server = ("usher directory test", "usher directory preview", "usher sync run")

    for line in commands_of(f"docs/guides/{guide}.md"):
        words = shlex.split(replaced(line, meant).removeprefix("usher "))
        blank_shell.answer(*words, code=3 if line.startswith(needs_server) else 0)

    (row,) = blank_shell.json("directory", "list")
    assert row["kind"] == "ldap"


def prepare_reader(folder: Path, certificates: Certificates) -> None:
    """The files that the guides to directory servers speak of."""
    shutil.copy(certificates.authority, folder / "ca.pem")
    (folder / "reader.password").write_text(PASSWORD, encoding="utf-8")


def replaced(line: str, meant: Mapping[str, str]) -> str:
    for name, own in meant.items():
        line = line.replace(name, own)
    return line


@pytest.mark.parametrize("guide", SCIM_GUIDES)
def test_the_guide_to_an_identity_provider_works_with_what_it_sends(blank_shell: Shell, guide: str) -> None:
    """The first block sets up; then the payload sequence that the guide names arrives; then the rest is typed."""
    blank_shell.environ["USHER_PUBLIC_URL"] = "https://usher.example"
    document = f"docs/guides/{guide}.md"
    (payload,) = PAYLOAD.findall((ROOT / document).read_text(encoding="utf-8"))
    lines = commands_of(document)
    first = 1 + next(at for at, line in enumerate(lines) if line.startswith("usher token create"))
    told = "".join(run(blank_shell, line) for line in lines[:first])

    push(blank_shell, told, payload)
    outputs = [(line, run(blank_shell, line)) for line in lines[first:]]

    assert {line.split()[1] for line, _ in outputs} == {"rules", "seats", "token", "scim"}
    assert " of 20 seats used (plan Pro)" in dict(outputs)["usher seats"]
    assert_the_log_explains(blank_shell)


def assert_the_log_explains(shell: Shell) -> None:
    """`show` says why a request failed, and `replay` says the same while nothing has changed."""
    for row in shell.json("scim", "log", "--failed"):
        told = shell.answer("scim", "show", row["id"]).splitlines()
        assert told[-1].startswith("What to do: ")
        assert shell.answer("scim", "replay", row["id"]).splitlines()[-2:] == told[-2:]


def leave_rules_to_the_guide(group: str, role: str) -> None:
    """What the sequence maps in between, the reader maps afterwards."""


def push(shell: Shell, told: str, payload: str) -> None:
    """Send a recorded sequence to the base URL, with the token, that the command line printed."""
    token, base = TOKEN.search(told), BASE_URL.search(told)
    assert token is not None
    assert base is not None
    with shell.wiring() as wiring:
        client = make_client(wiring)
        player = Player(client, base[2], f"{base[1]}{base[2]}", token[0])
        player.play(load_sequence(ROOT / payload), leave_rules_to_the_guide)
        client.application.extensions[REQUEST_LOG].flush()


def test_the_commands_of_the_readme_work_on_the_sample_companies(
    blank_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blank_shell.answer("demo", "--once")
    # A service that runs does it by itself.
    blank_shell.answer("audit", "seal")
    lines = commands_of("README.md")

    assert lines
    for line in lines:
        run(blank_shell, line)
