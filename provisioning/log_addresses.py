"""Where commands came from: an address is personal data, so events hold a reference to it, one for each subject."""

import ipaddress

from audit.actors import AdminActor, TokenActor
from directory.sso_changes import DenyLogin, OpenSession
from provisioning.commands import Command
from provisioning.ports import Mint, Writer
from provisioning.state import PersonalData


def normal_address(text: str) -> str:
    """An address as it is compared: IPv6 in its short form, IPv4 within IPv6 as IPv4. Empty for what is none.

    Source: RFC 5952 section 4, RFC 4291 section 2.5.5.2
    """
    try:
        address = ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def refer_to_address(writer: Writer, command: Command, mint: Mint) -> str:
    """The reference to where the command came from; made when the subject was never there. Empty when unknown.

    The subject is who signs in or is turned away, else the token or connection that was used: whoever is erased takes
    the addresses along, and nobody else's.
    """
    address = normal_address(command.address)
    if not address:
        return ""
    # Of those whom nobody knows the organisation is the subject.
    subject_id = _subject(command) or writer.organisation().organisation_id
    known = writer.address_references(address, subject_id)
    if known:
        return known[0]
    reference = mint.id()
    writer.insert_personal_data([PersonalData(reference, subject_id, {"address": address})])
    return reference


def _subject(command: Command) -> str:
    for change in command.changes:
        if isinstance(change, OpenSession):
            return change.member_id
        if isinstance(change, DenyLogin):
            return change.member_id or change.connection_id or ""
    match command.actor:
        case TokenActor():
            return command.actor.token_id
        case AdminActor(is_operator=False):
            return command.actor.admin_id
        case _:
            return command.directory_id or ""
