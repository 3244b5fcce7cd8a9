"""`usher connection certificate`: the identity provider's certificates, where no metadata brings them."""

from datetime import datetime
from pathlib import Path

import click

from directory.sso_changes import PutIdPCertificate, RetireIdPCertificate
from provisioning.logins import IdPCertificate, StoredConnection
from saml.metadata import read_certificate
from service.cli.frame import UsherGroup, current, organisation_option
from service.cli.values import END
from service.errors import InputError, NotFoundError
from service.names import find_connection


@click.group(cls=UsherGroup)
def certificate() -> None:
    """Certificates that an identity provider signs with."""


@certificate.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--staged", is_flag=True, help="Keep it for later; it verifies nothing until it is activated.")
@organisation_option
def add(name: str, file: Path, staged: bool) -> None:
    """Add a certificate (PEM) beside those that are there."""
    call = current()
    try:
        der = read_certificate(file.expanduser().read_text(encoding="ascii"))
    except UnicodeDecodeError as err:
        raise InputError([f"'{file}' is no certificate in PEM, which is plain text"]) from err
    with call.administration.read() as reader:
        known = find_connection(reader, name)
    call.administration.apply([PutIdPCertificate(known.connection_id, der, "staged" if staged else "active")])
    _say(name, "added" if not staged else "staged")


@certificate.command()
@click.argument("name")
@click.argument("sha256")
@organisation_option
def activate(name: str, sha256: str) -> None:
    """Let a staged certificate verify signatures."""
    call = current()
    with call.administration.read() as reader:
        known = find_connection(reader, name)
    found = _find(known, sha256)
    call.administration.apply([PutIdPCertificate(known.connection_id, found.certificate, "active")])
    _say(name, "active")


@certificate.command()
@click.argument("name")
@click.argument("sha256")
@click.option("--at", "ends_at", type=END, help="When: days from now, or a date. Default: now.")
@organisation_option
def retire(name: str, sha256: str, ends_at: datetime | None) -> None:
    """Let a certificate verify nothing any more."""
    call = current()
    with call.administration.read() as reader:
        known = find_connection(reader, name)
    found = _find(known, sha256)
    call.administration.apply([RetireIdPCertificate(known.connection_id, found.sha256, ends_at)])
    _say(name, "retired" if ends_at is None else "to be retired")


def _find(known: StoredConnection, beginning: str) -> IdPCertificate:
    found = [each for each in known.certificates if beginning and each.sha256.startswith(beginning.lower())]
    if len(found) != 1:
        raise NotFoundError(
            f"no single certificate of the connection begins with '{beginning}'; "
            "'usher connection show' lists their SHA-256"
        )
    return found[0]


def _say(name: str, state: str) -> None:
    current().output.say(f"The certificate is {state}.", {"connection": name, "state": state})
