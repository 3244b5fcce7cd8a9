"""Mail domains of an organisation: claimed, proven by a TXT record, lost and released.

A lost proof is first a warning. After the grace the domain is suspended, and with the last one the obligation to sign
in, since a domain that is another's by now must not decide who is let in.
"""

import re
from dataclasses import replace
from datetime import timedelta

from audit.events import FieldChange, Target
from directory.changes import AddDomain
from directory.facts import name_key
from directory.ids import EventId
from directory.sso_changes import ClaimDomain, NoteDomainMissing, ReleaseDomain, VerifyDomain
from provisioning.enforcement import resume_enforcement, suspend_enforcement
from provisioning.errors import Refusal, RefusalCode
from provisioning.logins import StoredDomain
from provisioning.work import Work

GRACE = timedelta(hours=72)
"""How long the proof of a domain may be missing before it is suspended."""

MOST_DOMAINS = 200
DOMAIN_MISSING = "domain_missing"

_LONGEST_DOMAIN = 253
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{4,253}}\Z){_LABEL}(?:\.{_LABEL})+", re.ASCII)
_CHALLENGE = re.compile(r"[!-~]{16,200}", re.ASCII)


def add_domain(work: Work, change: AddDomain) -> None:
    """The operator's word that the domain is the organisation's: it is looked up from now on no more."""
    domain = name_key(change.domain)
    if not domain or "@" in domain or " " in domain or "." not in domain or len(domain) > _LONGEST_DOMAIN:
        raise _invalid(f"'{change.domain[:100]}' is not a mail domain")
    known = next((one for one in work.writer.sso.domain_claims() if one.domain == domain), None)
    if known is not None and known.is_verified:
        return
    claimed_at = known.claimed_at if known is not None else work.now
    _verify(work, StoredDomain(domain, "verified", "", claimed_at, work.now, None), known)


def claim_domain(work: Work, change: ClaimDomain) -> None:
    """Note that the organisation is to prove the domain. What is verified needs no further claim."""
    domain = _plain(change.domain)
    if not _CHALLENGE.fullmatch(change.challenge):
        raise _invalid("a challenge is 16 to 200 printable ASCII characters without a space")
    claims = {one.domain: one for one in work.writer.sso.domain_claims()}
    known = claims.get(domain)
    if known is not None and (known.is_verified or known.challenge == change.challenge):
        return
    if known is None and len(claims) >= MOST_DOMAINS:
        raise _invalid(f"the organisation has {len(claims)} domains, the most there may be")
    if known is not None:
        claim = replace(known, challenge=change.challenge)
    else:
        claim = StoredDomain(domain, "pending", change.challenge, work.now, None, None)
    work.writer.sso.put_domain_claim(claim)
    _record(work, "domain.claimed", claim, known.state if known else None)


def verify_domain(work: Work, change: VerifyDomain) -> None:
    """The proof was found: the domain is this organisation's, unless another has proven it before."""
    known = _claimed(work, change.domain)
    put = replace(known, state="verified", checked_at=work.now, missing_since=None)
    if known.state == "verified":
        work.writer.sso.put_domain_claim(put)
        return
    _verify(work, replace(put, verified_at=work.now), known)


def _verify(work: Work, put: StoredDomain, known: StoredDomain | None) -> None:
    if not work.writer.sso.put_domain_claim(put):
        raise Refusal(
            RefusalCode.DOMAIN_TAKEN,
            f"the domain '{put.domain}' is another organisation's; ask the operator if it should be yours",
        )
    event_id = _record(work, "domain.verified", put, known.state if known is not None else None)
    if known is None or not known.is_verified:
        work.amend_model()
    resume_enforcement(work, reason=DOMAIN_MISSING, parent=event_id)


def note_domain_missing(work: Work, change: NoteDomainMissing) -> None:
    """The proof was looked for and not found. What the operator vouched for is never looked up."""
    known = _claimed(work, change.domain)
    if not known.challenge:
        return
    put = replace(known, checked_at=work.now)
    if known.state == "verified":
        put = replace(put, state="missing", missing_since=work.now)
    elif known.missing_since is not None and known.missing_since + GRACE <= work.now:
        put = replace(put, state="suspended")
    work.writer.sso.put_domain_claim(put)
    if put.state == known.state:
        return
    event_id = _record(work, f"domain.{put.state}", put, known.state)
    if put.state == "suspended":
        work.amend_model()
        _suspend_without_domain(work, event_id)


def release_domain(work: Work, change: ReleaseDomain) -> None:
    """The domain is nobody's again. One that was never claimed is no matter."""
    domain = _plain(change.domain)
    known = next((one for one in work.writer.sso.domain_claims() if one.domain == domain), None)
    if known is None:
        return
    work.writer.sso.delete_domain(domain)
    event_id = _record(work, "domain.released", replace(known, state=""), known.state)
    if known.is_verified:
        work.amend_model()
        _suspend_without_domain(work, event_id)


def _suspend_without_domain(work: Work, event_id: EventId) -> None:
    if not work.writer.domains():
        suspend_enforcement(work, reason=DOMAIN_MISSING, parent=event_id)


def _plain(domain: str) -> str:
    plain = name_key(domain.strip())
    if not _DOMAIN.fullmatch(plain):
        raise _invalid(f"'{domain[:100]}' is not a mail domain; write one with accents in its xn-- form")
    return plain


def _claimed(work: Work, domain: str) -> StoredDomain:
    plain = name_key(domain.strip())
    known = next((one for one in work.writer.sso.domain_claims() if one.domain == plain), None)
    if known is None:
        raise Refusal(
            RefusalCode.NOT_FOUND,
            f"the organisation has not claimed the domain '{domain[:100]}'; claim it first",
        )
    return known


def _record(work: Work, action: str, domain: StoredDomain, before: str | None) -> EventId:
    since = domain.missing_since
    return work.ledger.record(
        action,
        (Target("organisation", work.state.organisation_id),),
        (
            FieldChange("domain", None, domain.domain),
            FieldChange("state", before, domain.state or None),
            *(() if since is None else (FieldChange("missing_since", None, f"{since:%Y-%m-%dT%H:%M:%SZ}"),)),
        ),
    )


def _invalid(message: str) -> Refusal:
    return Refusal(RefusalCode.INVALID, message)
