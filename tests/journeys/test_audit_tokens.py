"""Tokens of auditors at the command line, and the guide's requests as they are typed."""

import json
import os
import re
import subprocess
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from audit.actors import AdminActor
from service.app import create_app
from service.demo import prepare_demo
from service.sealer import Sealer
from tests.architecture.project import ROOT
from tests.journeys.shell import Shell
from tests.serving import served

CURL = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def acme(shell: Shell) -> Shell:
    shell.environ["USHER_PUBLIC_URL"] = "https://usher.example"
    shell.answer("environment", "load", "minut")
    shell.create("Acme Stays")
    return shell


def test_a_token_is_shown_once_listed_and_revoked(acme: Shell) -> None:
    told = acme.answer("audit", "token", "create", "--name", "Auditor EY", "--expires", "90d")
    made = acme.json("audit", "token", "create", "--name", "Other", "--expires", "7")

    text = next(line for line in told.splitlines() if line.startswith("usher_audit_"))
    assert "https://usher.example/console/audit/sign-in" in told
    assert made["events"] == f"https://usher.example/audit/{made['organisation']}/events"
    listed = acme.answer("audit", "token", "list", "--json")
    assert text not in listed
    assert made["token"] not in listed
    assert [row["state"] for row in json.loads(listed)] == ["live", "live"]
    acme.mark()
    assert "is revoked" in acme.answer("audit", "token", "revoke", "auditor ey")
    assert "was not good any more" in acme.answer("audit", "token", "revoke", text[:20])
    assert acme.new_actions() == ["token.revoked"]
    assert "Auditor EY" not in acme.answer("audit", "token", "list")
    assert "revoked" in acme.answer("audit", "token", "list", "--all")


def test_what_cannot_be_made_or_found_is_told(acme: Shell) -> None:
    assert "Missing option '--expires'" in acme.fail(2, "audit", "token", "create", "--name", "x")
    assert "no moment" in acme.fail(2, "audit", "token", "create", "--name", "x", "--expires", "soon")
    assert "name of 1 to 200" in acme.fail(1, "audit", "token", "create", "--name", " ", "--expires", "1d")
    assert "list them with" in acme.fail(1, "audit", "token", "revoke", "nobody")
    assert "make one with" in acme.answer("audit", "token", "list")
    for _ in range(2):
        acme.answer("audit", "token", "create", "--name", "Twin", "--expires", "1d")
    assert "names more than one token" in acme.fail(1, "audit", "token", "revoke", "Twin")


def test_the_requests_of_the_guide_are_answered(blank_shell: Shell, tmp_path: Path) -> None:
    (lines,) = CURL.findall((ROOT / "docs/guides/auditors.md").read_text(encoding="utf-8"))
    blank_shell.answer("db", "upgrade")
    with blank_shell.wiring() as wiring:
        prepare_demo(wiring, AdminActor("operator:tests", is_operator=True), tell=lambda _line: None)
        made = blank_shell.json(
            *("audit", "token", "create", "--name", "Auditor EY", "--expires", "90d", "-o", "Kusthem")
        )
        sealer = Sealer(wiring)
        sealer.drain()
        sealer.stop()
        (event,) = blank_shell.json("audit", "list", "--action", "role.", "--limit", "1", "-o", "Kusthem")
        with served(create_app(wiring)) as url:
            given = {
                "USHER": url,
                "TOKEN": made["token"],
                "ORGANISATION": made["organisation"],
                "EVENT": event["id"],
            }
            answers = [
                subprocess.run(
                    ["/bin/bash", "-ec", line],
                    cwd=tmp_path,
                    env={"PATH": os.environ["PATH"], **given},
                    capture_output=True,
                    timeout=timedelta(minutes=1).seconds,
                    check=True,
                ).stdout
                for line in lines.splitlines()
            ]

    roles, about, one, proof, report = map(json.loads, answers[:5])
    assert roles["events"][0]["sealed"] is True
    assert about["events"]
    assert (one["id"], one["proof"]) == (event["id"], proof)
    assert report["total"] > len(report["rows"]) or report["rows"]
    assert "role.granted" in (tmp_path / "roles.csv").read_text(encoding="utf-8")
    assert "manifest.json" in zipfile.ZipFile(tmp_path / "bundle.zip").namelist()
    assert made["organisation"] in (tmp_path / "checkpoint.txt").read_text(encoding="utf-8")
