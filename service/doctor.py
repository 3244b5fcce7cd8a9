"""Looks at a running or resting service and says what is well, what to watch and what to mend. Changes nothing."""

import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from provisioning.ports import Reader
from provisioning.queries import seat_report
from provisioning.resources import StoredToken
from provisioning.runs import LEASE
from provisioning.sealing import HEADS_LOG
from provisioning.state import OrganisationState, RunRecord, Seat, StoredDirectory
from provisioning.tokens import is_live
from provisioning.work import PUSHED
from service.errors import ServiceError
from service.jobs import NOTICE_DAYS
from service.ldap_certificate import ServerCertificate, view_certificate
from service.log_keys import load_log_keys
from service.names import open_invitations
from service.opening import open_database_as_is
from service.runs import PULLED_KINDS
from service.sealer import ALARM_AFTER, read_head, seal_lag
from service.settings import WORKERS, Settings
from service.stream_health import find_stream_troubles
from service.tokens import days_left
from service.wiring import Wiring
from storage.errors import StorageError
from storage.job_queue import queue_figures
from storage.sealing import SQLSealing
from sync.errors import LDAPSettingsError, SyncError
from sync.ldap_settings import LDAPServer, TLSMode, ldap_settings

_LEAST_FREE_BYTES = 200 * 1024 * 1024
_LEAST_FREE_PERCENT = 5
_AT_ONCE = 1000
_MISSED_INTERVALS = 4
_SLACK = timedelta(minutes=2)
_LONG_RUN = 2 * LEASE
_CERTIFICATE_SECONDS = 3
_CERTIFICATE_NOTICE_DAYS = 30


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` says what to do about it."""

    level: Level
    about: str
    text: str
    remedy: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything that can be looked at; a database that does not open ends it early."""
    findings = [
        Finding(Level.OK, "settings", "every USHER_* variable is known and fits"),
        *_examine_disk(settings),
    ]
    findings.extend(_examine_key(settings))
    try:
        wiring = open_database_as_is(settings)
    except (StorageError, ServiceError) as error:
        return [*findings, Finding(Level.FAIL, "database", str(error))]
    with wiring:
        findings.append(Finding(Level.OK, "database", f"{wiring.database.address} is up to date"))
        if settings.jobs == WORKERS:
            findings.append(_examine_workers(wiring))
        findings.extend(_examine_log(wiring))
        findings.extend(_examine_streams(wiring))
        for organisation in wiring.store.organisations():
            findings.extend(_examine_organisation(wiring, organisation))
    return findings


def _examine_workers(wiring: Wiring) -> Finding:
    figures = queue_figures(wiring.database, wiring.settings.worker_stalled_seconds)
    text = f"{figures.workers} alive; {figures.running} directories in hand, {figures.waiting} wait"
    if figures.workers:
        return Finding(Level.OK, "workers", text)
    return Finding(Level.FAIL, "workers", text, "start 'usher worker': until then no directory is read")


def _examine_log(wiring: Wiring) -> Iterator[Finding]:
    """Whether the log can be signed, is, and gives what the tables hold."""
    sealing = SQLSealing(wiring.database)
    status = sealing.status()
    try:
        signers = load_log_keys(wiring.settings).signers
        head = read_head(wiring.settings)
    except ServiceError as error:
        yield Finding(Level.FAIL, "log", str(error))
        return
    missing = [key.vkey for key in sealing.log_keys() if key.is_signing and key.key_id not in signers]
    if missing or not signers:
        yield Finding(
            Level.FAIL,
            "log",
            f"there is no private key at {wiring.settings.log_key_file} that signs as {', '.join(missing) or 'any'}",
            "restore the file from your backup, or copy it from where the log was sealed until now",
        )
    with sealing.read(HEADS_LOG) as heads:
        found = heads.checkpoint(head.size) if head else None
    if head is not None and (found is None or found.root != head.root):
        yield Finding(
            Level.FAIL,
            "log",
            f"{head.size} checkpoints were signed, and this database does not hold them: it is an older one",
            "restore the newest database, or say 'usher audit declare-restore'",
        )
    lag = seal_lag(status, wiring.clock())
    waiting = f"{status.unsealed} events wait to be sealed, the oldest for {_told(lag)}"
    if lag > ALARM_AFTER:
        yield Finding(
            Level.WARN,
            "log",
            waiting,
            "is the service running? Look for a transaction that has been open for long",
        )
    else:
        yield Finding(Level.OK, "log", waiting if status.unsealed else "every event is sealed")
    if status.replay_misfits:
        yield Finding(
            Level.FAIL,
            "log",
            f"the last nightly check found {status.replay_misfits} differences between the log and the tables",
            "see them with 'usher audit replay --all'",
        )


def _examine_streams(wiring: Wiring) -> Iterator[Finding]:
    for one in find_stream_troubles(wiring):
        level = Level.FAIL if one.is_stopped else Level.WARN
        yield Finding(level, one.about, one.text, one.remedy)


def _examine_disk(settings: Settings) -> Iterator[Finding]:
    folder = next(
        (path for path in (settings.data, *settings.data.absolute().parents) if path.exists()), None
    )
    if folder is None:
        return
    usage = shutil.disk_usage(folder)
    free = f"{usage.free // 1024 // 1024} MiB are free where the data lies"
    if usage.free < _LEAST_FREE_BYTES or usage.free * 100 < usage.total * _LEAST_FREE_PERCENT:
        yield Finding(Level.WARN, "disk", free, "free some space, or move USHER_DATA")
    else:
        yield Finding(Level.OK, "disk", free)


def _examine_key(settings: Settings) -> Iterator[Finding]:
    if settings.secret_key:
        yield Finding(Level.OK, "key", "the key ring comes from the settings")
        return
    path = settings.key_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        yield Finding(
            Level.WARN,
            "key",
            f"there is no key at {path}",
            "the first start makes one; after that, restore it",
        )
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(Level.FAIL, "key", f"others may read {path} (mode {mode:03o})", f"chmod 600 {path}")
    else:
        yield Finding(Level.OK, "key", f"only its owner may read {path}; keep a copy of it with your backups")


def _examine_organisation(wiring: Wiring, organisation: OrganisationState) -> Iterator[Finding]:
    about = f"organisation '{organisation.name}'"
    if organisation.owner_id is None:
        yield Finding(
            Level.FAIL,
            about,
            "has no owner: its creation was cut off",
            "run the same 'usher organisation create' again",
        )
    with wiring.unit_of_work(organisation.organisation_id).read() as reader:
        yield from _examine_seats(reader, about)
        held = reader.held_members()
        directories = reader.directories()
        tokens = reader.tokens()
        runs = {directory.directory_id: reader.runs(directory.directory_id, 1) for directory in directories}
    if held:
        yield Finding(
            Level.WARN,
            about,
            f"{len(held)} changes are held: they would take the last Admin away",
            "make another Admin",
        )
    for directory in directories:
        last = next(iter(runs[directory.directory_id]), None)
        where = f"{about}, directory '{directory.name}'"
        if directory.kind == PUSHED:
            own = [token for token in tokens if token.directory_id == directory.directory_id]
            yield from _examine_push_directory(where, directory, own, wiring.clock())
            continue
        yield _examine_directory(where, directory, last, wiring.clock())
        if directory.kind == "ldap":
            yield from _examine_certificates(where, directory, wiring.clock())
    pending = organisation.organisation_id in wiring.store.organisations_with_pending(_AT_ONCE)
    if pending:
        yield Finding(
            Level.WARN,
            about,
            "people wait for their access to be worked out",
            "a running service does it within 30 s",
        )


def _examine_seats(reader: Reader, about: str) -> Iterator[Finding]:
    """The counters of the organisation's row against the rows that they count."""
    state = reader.organisation()
    seated, after = 0, None
    while ids := reader.member_ids(after, _AT_ONCE):
        after = ids[-1]
        seated += sum(1 for record in reader.member_records(ids).values() if record.seat is Seat.SEATED)
    report = seat_report(reader, shown=0)
    reserved = len(open_invitations(reader))
    if (seated, reserved) != (state.seated, state.reserved):
        yield Finding(
            Level.FAIL,
            about,
            f"the row counts {state.seated} seats held and {state.reserved} reserved, but there are {seated} and "
            f"{reserved}",
            "report this; no seat is given wrongly while the row counts more",
        )
    elif report.over:
        yield Finding(
            Level.WARN,
            about,
            f"{report.occupied} seats are used, {report.over} more than the plan has",
            "change the plan",
        )
    else:
        limit = "unlimited" if report.limit is None else report.limit
        waiting = f", {report.waiting_count} wait" if report.waiting_count else ""
        yield Finding(
            Level.OK, about, f"{report.occupied} of {limit} seats used{waiting}; counted again and right"
        )


def _examine_push_directory(
    where: str, directory: StoredDirectory, tokens: Sequence[StoredToken], now: datetime
) -> Iterator[Finding]:
    """Whether an identity provider gets in, and for how long still."""
    if directory.settings.get("paused"):
        yield Finding(
            Level.WARN,
            where,
            "is paused: whatever is pushed to it is refused",
            "let it go on with 'usher directory resume'",
        )
    live = [token for token in tokens if is_live(token, now)]
    ending = [
        (token, left)
        for token in live
        if (left := days_left(token, now)) is not None and left <= max(NOTICE_DAYS)
    ]
    for token, left in ending:
        yield Finding(
            Level.WARN,
            where,
            f"token '{token.name}' ({token.prefix}) ends in {left} days",
            "make the next one with 'usher token rotate', and put it into the identity provider",
        )
    if not live:
        yield Finding(Level.WARN, where, "has no live token, so nobody gets in", "run 'usher token create'")
    used = max((token.last_used_at for token in tokens if token.last_used_at is not None), default=None)
    if live and not ending:
        told = "was never asked for anything" if used is None else f"was last asked {_told(now - used)} ago"
        yield Finding(Level.OK, where, f"{told}; {len(live)} live tokens")


def _examine_directory(
    where: str, directory: StoredDirectory, last: RunRecord | None, now: datetime
) -> Finding:
    if last is not None and last.state == "running" and now - last.started_at > _LONG_RUN:
        return Finding(
            Level.WARN,
            where,
            f"a run that began {_told(now - last.started_at)} ago has not ended",
            "if it was killed, the next run goes on from where it stopped",
        )
    if last is not None and last.state == "blocked":
        return Finding(
            Level.WARN,
            where,
            f"the guard holds a plan: {last.reason}",
            "look at it with 'usher directory status'",
        )
    if last is not None and last.state == "failed":
        return Finding(
            Level.FAIL, where, f"the last reading failed: {last.reason}", "mend the source; it is tried again"
        )
    if directory.kind not in PULLED_KINDS or directory.interval_seconds is None:
        return Finding(Level.OK, where, "is read by hand only")
    if directory.last_success_at is None:
        return Finding(Level.WARN, where, "has never been read", "run 'usher sync run', or start the service")
    age = now - directory.last_success_at
    if age > _MISSED_INTERVALS * timedelta(seconds=directory.interval_seconds) + _SLACK:
        return Finding(
            Level.WARN, where, f"was last read {_told(age)} ago", "is the service running? ('usher serve')"
        )
    return Finding(Level.OK, where, f"was last read {_told(age)} ago")


def _examine_certificates(where: str, directory: StoredDirectory, now: datetime) -> Iterator[Finding]:
    """Whether a server's certificate ends soon. Why there is none to be seen, the directory's readings say."""
    try:
        settings = ldap_settings(directory.settings, user_filter="", group_filter="")
    except LDAPSettingsError as error:
        yield Finding(Level.FAIL, where, str(error), "change it with 'usher directory add-ldap --replace'")
        return
    if settings.tls is TLSMode.PLAIN:
        return
    for server in settings.servers:
        try:
            shown = view_certificate(server, settings.tls, timeout_seconds=_CERTIFICATE_SECONDS)
        except (OSError, ValueError, SyncError):
            continue
        yield certificate_finding(where, server, shown, now)


def certificate_finding(about: str, server: LDAPServer, shown: ServerCertificate, now: datetime) -> Finding:
    """What to say of a certificate's names and dates."""
    names = ", ".join(shown.names) or "no name"
    text = (
        f"{server} shows a certificate of '{shown.subject}' for {names}, by '{shown.issuer}', "
        f"from {shown.starts_at:%Y-%m-%d} to {shown.ends_at:%Y-%m-%d}"
    )
    days = (shown.ends_at - now).days
    if days < 0:
        return Finding(Level.FAIL, about, f"{text}: it has ended", "renew the server's certificate")
    if days <= _CERTIFICATE_NOTICE_DAYS:
        return Finding(
            Level.WARN, about, f"{text}: it ends in {days} days", "renew the server's certificate before"
        )
    return Finding(Level.OK, about, text)


def _told(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    return (
        f"{seconds} s"
        if seconds < 120
        else f"{seconds // 60} min"
        if seconds < 7200
        else f"{seconds // 3600} h"
    )
