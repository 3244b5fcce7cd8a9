"""`usher domain`: mail domains of an organisation and the proof that they are its own."""

import os

import click

from directory.facts import name_key
from directory.sso_changes import ClaimDomain, ReleaseDomain
from provisioning.logins import StoredDomain
from provisioning.ports import Reader
from saml.domains import Proof, record_name, record_value
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.output import clean
from service.errors import NotFoundError, RefusedError
from service.outside import resolver
from service.sso_jobs import check_domain

_CHALLENGE_BYTES = 20


@click.group(cls=UsherGroup)
def domain() -> None:
    """Mail domains, and the proof that they are the organisation's own."""


@domain.command()
@click.argument("name", metavar="DOMAIN")
@organisation_option
def add(name: str) -> None:
    """Claim a domain and say which TXT record is to prove it."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        challenge = next(
            (one.challenge for one in reader.sso.domain_claims() if one.domain == _key(name)), ""
        )
    # Asked again, it is the same record: that may stand in the name servers already.
    administration.apply([ClaimDomain(name, challenge or os.urandom(_CHALLENGE_BYTES).hex())])
    with administration.read() as reader:
        claim = _find(reader, name)
    if claim.is_verified:
        call.output.say(f"The domain {claim.domain} is verified already.", _row(claim))
        return
    if call.is_json:
        call.output.document(_row(claim))
        return
    line = call.output.line
    line(f"Publish this TXT record, then run 'usher domain verify {claim.domain}':")
    line(f'  {record_name(claim.domain)}  TXT  "{record_value(claim.challenge)}"')
    line("Usher looks for it every ten minutes by itself; name servers may take hours to show a new record.")


@domain.command()
@click.argument("name", metavar="DOMAIN")
@organisation_option
def verify(name: str) -> None:
    """Look for the TXT record now."""
    call = current()
    administration = call.administration
    with administration.read() as reader:
        claim = _find(reader, name)
    if not claim.challenge:
        call.output.say(f"The operator vouches for {claim.domain}; it is not looked up.", _row(claim))
        return
    proof, refusal = check_domain(administration, claim, resolver(call.settings))
    if refusal:
        raise RefusedError("domain_not_verified", refusal)
    if proof is not Proof.FOUND:
        raise RefusedError("domain_not_verified", _why(claim, proof))
    with administration.read() as reader:
        claim = _find(reader, name)
    call.output.say(f"The domain {claim.domain} is verified.", _row(claim))


def _why(claim: StoredDomain, proof: Proof) -> str:
    wanted = f'{record_name(claim.domain)} TXT "{record_value(claim.challenge)}"'
    if proof is Proof.UNKNOWN:
        return (
            f"the name servers did not answer for {record_name(claim.domain)}, which says nothing about the "
            "domain; try again later"
        )
    return (
        f"the record was not found: {wanted}. A new record may take as long to be seen as the old answer is kept, "
        "often an hour"
    )


@domain.command("list")
@organisation_option
def list_() -> None:
    """List the domains."""
    call = current()
    with call.administration.read() as reader:
        rows = [_row(claim) for claim in reader.sso.domain_claims()]
    columns = {
        "domain": "Domain",
        "state": "State",
        "verified_at": "Verified",
        "checked_at": "Looked up",
        "missing_since": "Record missing since",
    }
    call.output.listing(rows, columns, empty="There is no domain yet; claim one with 'usher domain add'.")


@domain.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--yes", is_flag=True, help="Do not ask.")
@organisation_option
def release(name: str, yes: bool) -> None:
    """Give a domain up: nobody is linked by its addresses any more, and the last one takes enforcement with it."""
    call = current()
    with call.administration.read() as reader:
        claim = _find(reader, name)
    if not yes:
        click.confirm(f"Give the domain {clean(claim.domain)} up?", abort=True, err=True)
    call.administration.apply([ReleaseDomain(claim.domain)])
    call.output.say(f"The domain {claim.domain} is released.", {"domain": claim.domain})


def _find(reader: Reader, name: str) -> StoredDomain:
    for claim in reader.sso.domain_claims():
        if claim.domain == _key(name):
            return claim
    raise NotFoundError(f"the organisation has not claimed the domain '{name}'; see 'usher domain list'")


def _key(name: str) -> str:
    return name_key(name.strip())


def _row(claim: StoredDomain) -> dict[str, object]:
    record = {"name": record_name(claim.domain), "value": record_value(claim.challenge)}
    return {
        "domain": claim.domain,
        "state": claim.state,
        "verified_at": claim.verified_at,
        "checked_at": claim.checked_at,
        "missing_since": claim.missing_since,
        "record": record if claim.challenge else None,
    }
