"""Domains from the command line: claimed, proven by a record of their name servers, lost and released."""

import re
from collections.abc import Iterator, MutableMapping

import pytest
from dnslib import RCODE

from tests.journeys.shell import ACME, Shell
from tests.name_server import Text, serve_names

DOMAIN = "acme.example"
NAME = f"_usher.{DOMAIN}"
RECORD = re.compile(rf'^  {re.escape(NAME)}  TXT  "(usher-verification=[0-9a-f]{{40}})"$', re.MULTILINE)

Zone = MutableMapping[str, list[Text]]


@pytest.fixture
def acme(shell: Shell) -> Shell:
    shell.set_up()
    shell.mark()
    return shell


@pytest.fixture
def zone(acme: Shell) -> Iterator[Zone]:
    """What the name servers say that the service asks."""
    records: Zone = {}
    with serve_names(records) as address:
        acme.environ["USHER_DNS_SERVERS"] = address
        yield records


def claim(shell: Shell) -> str:
    found = RECORD.search(shell.answer("domain", "add", DOMAIN))
    assert found is not None
    return found[1]


def states(shell: Shell) -> dict[str, str]:
    return {row["domain"]: row["state"] for row in shell.json("domain", "list")}


def test_a_domain_is_proven_by_its_record(acme: Shell, zone: Zone) -> None:
    told = acme.answer("domain", "add", " Acme.Example ")
    assert told.startswith(f"Publish this TXT record, then run 'usher domain verify {DOMAIN}':\n")
    found = RECORD.search(told)
    assert found is not None
    assert states(acme) == {DOMAIN: "pending"}

    told = acme.fail(1, "domain", "verify", DOMAIN)
    assert told == (
        f'the record was not found: {NAME} TXT "{found[1]}". A new record may take as long to be seen as the old '
        "answer is kept, often an hour"
    )
    zone[NAME] = [b"something else", found[1].encode()]
    assert acme.answer("domain", "verify", DOMAIN) == f"The domain {DOMAIN} is verified.\n"

    assert states(acme) == {DOMAIN: "verified"}
    assert acme.answer("domain", "add", DOMAIN) == f"The domain {DOMAIN} is verified already.\n"
    assert acme.answer("domain", "verify", DOMAIN) == f"The domain {DOMAIN} is verified.\n"
    assert acme.new_actions() == ["domain.claimed", "domain.verified"]
    with acme.read() as reader:
        assert DOMAIN in reader.domains()


def test_asked_again_the_record_is_the_same(acme: Shell) -> None:
    first = claim(acme)

    assert claim(acme) == first
    row = acme.json("domain", "add", DOMAIN)
    assert row["record"] == {"name": NAME, "value": first}
    assert acme.new_actions() == ["domain.claimed"]


def test_no_answer_says_nothing_about_a_domain(acme: Shell) -> None:
    claim(acme)
    acme.mark()

    with serve_names({}, rcode=RCODE.SERVFAIL) as address:
        acme.environ["USHER_DNS_SERVERS"] = address
        told = acme.fail(1, "domain", "verify", DOMAIN)

    assert told == (
        f"the name servers did not answer for {NAME}, which says nothing about the domain; try again later"
    )
    assert acme.new_actions() == []
    assert acme.json("domain", "list")[0]["checked_at"] is not None


def test_a_record_that_has_gone_is_a_warning_first(acme: Shell, zone: Zone) -> None:
    zone[NAME] = [claim(acme).encode()]
    acme.answer("domain", "verify", DOMAIN)
    acme.mark()
    record = zone.pop(NAME)

    assert "the record was not found" in acme.fail(1, "domain", "verify", DOMAIN)

    (row,) = acme.json("domain", "list")
    assert row["state"] == "missing"
    assert row["missing_since"] is not None
    assert "Record missing since" in acme.answer("domain", "list")
    zone[NAME] = record
    acme.answer("domain", "verify", DOMAIN)
    assert states(acme) == {DOMAIN: "verified"}
    assert acme.new_actions() == ["domain.missing", "domain.verified"]


def test_a_domain_is_of_one_organisation(acme: Shell, zone: Zone) -> None:
    zone[NAME] = [claim(acme).encode()]
    acme.answer("domain", "verify", DOMAIN)
    acme.create("Other")
    told = acme.answer("domain", "add", DOMAIN, "--organisation", "Other")
    found = RECORD.search(told)
    assert found is not None
    zone[NAME].append(found[1].encode())
    acme.mark("Other")

    told = acme.fail(1, "domain", "verify", DOMAIN, "--organisation", "Other")

    assert told == (
        f"the domain '{DOMAIN}' is another organisation's; ask the operator if it should be yours"
    )
    assert acme.new_actions("Other") == ["command.refused"]
    # Given up by the first, it may be the other's.
    acme.answer("domain", "release", DOMAIN, "--yes", "--organisation", ACME)
    acme.answer("domain", "verify", DOMAIN, "--organisation", "Other")
    assert acme.new_actions("Other") == ["domain.verified"]


def test_what_the_operator_vouches_for_is_not_looked_up(acme: Shell) -> None:
    acme.answer("organisation", "add-domain", DOMAIN)

    told = acme.answer("domain", "verify", DOMAIN)

    assert told == f"The operator vouches for {DOMAIN}; it is not looked up.\n"
    assert acme.json("domain", "list")[0]["record"] is None


def test_a_domain_is_given_up_when_that_is_confirmed(acme: Shell) -> None:
    assert acme.answer("domain", "list") == "There is no domain yet; claim one with 'usher domain add'.\n"
    acme.answer("organisation", "add-domain", DOMAIN)
    acme.mark()
    asked = acme.invoke("domain", "release", DOMAIN, stdin="n\n")
    assert (asked.exit_code, states(acme)) == (130, {DOMAIN: "verified"})
    assert f"Give the domain {DOMAIN} up?" in asked.stderr

    assert acme.answer("domain", "release", DOMAIN, "--yes") == f"The domain {DOMAIN} is released.\n"

    assert states(acme) == {}
    assert acme.new_actions() == ["domain.released"]
    for command in ("verify", "release"):
        told = acme.fail(1, "domain", command, DOMAIN)
        assert told == f"the organisation has not claimed the domain '{DOMAIN}'; see 'usher domain list'"


@pytest.mark.parametrize(
    "text", ["acme", "ada@acme.example", "acme..example", "-acme.example", "äcme.example"]
)
def test_what_is_no_domain_is_not_claimed(acme: Shell, text: str) -> None:
    told = acme.fail(1, "domain", "add", "--", text)

    assert told == f"'{text}' is not a mail domain; write one with accents in its xn-- form"
    assert states(acme) == {}
