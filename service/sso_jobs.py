"""What the service does by itself for single sign-on: metadata read anew, domains looked up, ends announced.

Each job is a plain function that may be run again. A question without an answer takes nothing away.
"""

from datetime import datetime, timedelta

import dns.resolver
import structlog

from directory.changes import Change
from directory.ids import OrganisationId
from directory.sso_changes import NoteCertificateEnding, NoteDomainMissing, VerifyDomain
from provisioning.logins import MetadataCopy, StoredDomain
from saml.domains import Proof, find_proof
from saml.metadata import cache_duration
from service.administration import Administration
from service.connections import refresh_connection
from service.errors import RefusedError
from service.jobs import as_system
from service.wiring import Wiring
from web.outgoing import Outgoing

NOTICE_DAYS = (60, 30, 7, 1)
"""Days before its end at which a certificate is spoken of."""
REFRESH_EVERY = timedelta(days=1)
REFRESH_AT_MOST_EVERY = timedelta(hours=1)
"""However short a time the metadata asks to be kept."""
CHECK_PENDING_EVERY = timedelta(minutes=10)
CHECK_VERIFIED_EVERY = timedelta(days=1)
_AT_ONCE = 100
_LOOKED_AT = 1_000
_EXPIRED_AT_ONCE = 5_000

_log = structlog.get_logger("usher.sso")


def refresh_metadata(wiring: Wiring, outgoing: Outgoing) -> int:
    """Read the metadata anew of every connection that has an address and is due; how many were.

    It is due after a day, or as soon as the metadata itself asks for it (`cacheDuration`).
    """
    now = wiring.clock()
    read = 0
    before = now - REFRESH_AT_MOST_EVERY
    for organisation_id, connection_id in wiring.logins.connections_to_refresh(before, _LOOKED_AT):
        administration = as_system(wiring, organisation_id, "metadata")
        with administration.read() as reader:
            connection = reader.sso.connection(connection_id)
        if connection is None or not _is_due(connection.metadata, now):
            continue
        if read == _AT_ONCE:
            break
        try:
            failure = refresh_connection(administration, connection, outgoing)
        except RefusedError as error:
            failure = str(error)
        read += 1
        if failure:
            _log.warning(
                "metadata not refreshed",
                organisation=organisation_id,
                connection=connection.name,
                reason=failure,
            )
    return read


def _is_due(copy: MetadataCopy | None, now: datetime) -> bool:
    if copy is None:
        return True
    asked = cache_duration(copy.document) or REFRESH_EVERY
    return copy.checked_at + min(max(asked, REFRESH_AT_MOST_EVERY), REFRESH_EVERY) <= now


def check_domains(wiring: Wiring, resolver: dns.resolver.Resolver) -> int:
    """Look up every claimed domain that is due: pending ones often, verified ones daily; how many were."""
    now = wiring.clock()
    due = wiring.logins.domains_to_check(
        pending_before=now - CHECK_PENDING_EVERY, others_before=now - CHECK_VERIFIED_EVERY, limit=_AT_ONCE
    )
    for organisation_id, claim in due:
        _, refusal = check_domain(as_system(wiring, organisation_id, "domains"), claim, resolver)
        if refusal:
            _log.warning(
                "domain not verified", organisation=organisation_id, domain=claim.domain, reason=refusal
            )
    return len(due)


def check_domain(
    administration: Administration, claim: StoredDomain, resolver: dns.resolver.Resolver
) -> tuple[Proof, str]:
    """Look one domain up and say what was found; why it was not taken as proven, where it was found in vain."""
    proof = find_proof(claim.domain, claim.challenge, resolver)
    said: Change | None = None
    if proof is Proof.FOUND:
        said = VerifyDomain(claim.domain)
    elif proof is Proof.ABSENT:
        said = NoteDomainMissing(claim.domain)
    if said is None:
        wiring = administration.wiring
        wiring.logins.note_domain_check(administration.organisation_id, claim.domain, wiring.clock())
        return proof, ""
    try:
        administration.apply([said])
    except RefusedError as error:
        return proof, str(error)
    return proof, ""


def note_ending_certificates(wiring: Wiring) -> int:
    """Write down each certificate that ends soon, once for each of `NOTICE_DAYS`; how many were."""
    noted = 0
    for days in sorted(NOTICE_DAYS):
        # The nearest step first: it stands for those before it.
        ending = wiring.logins.certificates_ending(wiring.clock(), days, _AT_ONCE)
        for organisation_id, connection_id, sha256, not_after in ending:
            noted += _note(wiring, organisation_id, NoteCertificateEnding(connection_id, sha256, days))
            _log.warning(
                "certificate ends soon",
                organisation=organisation_id,
                connection=connection_id,
                sha256=sha256,
                not_after=f"{not_after:%Y-%m-%dT%H:%M:%SZ}",
            )
    return noted


def _note(wiring: Wiring, organisation_id: OrganisationId, change: Change) -> int:
    try:
        as_system(wiring, organisation_id, "scheduler").apply([change])
    except RefusedError as error:
        _log.warning("refused", organisation=organisation_id, change=repr(change), reason=str(error))
        return 0
    return 1


def delete_expired_logins(wiring: Wiring) -> int:
    """Delete requests, used assertions, tests and ended sessions that are past; how many."""
    deleted = 0
    while number := wiring.logins.delete_expired(wiring.clock(), _EXPIRED_AT_ONCE):
        deleted += number
    return deleted
