"""The certificate that a directory server shows, good or bad. Nothing else is said over that connection."""

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from sync import ber
from sync.ber import MessageCutter
from sync.errors import LDAPTLSError
from sync.ldap_results import describe_result
from sync.ldap_settings import LDAPServer, TLSMode

# An ExtendedRequest with message id 1 that names StartTLS. Source: RFC 4511 section 4.14.1.
_START_TLS: Final = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Whose the certificate is, who vouches for it, for which names, and from when to when."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime


def view_certificate(server: LDAPServer, tls: TLSMode, *, timeout_seconds: float) -> ServerCertificate:
    """Fetch the certificate without judging it; whether it is good is for the reader's own handshake to say.

    Raises: OSError when there is no connection or no handshake; LDAPTLSError; BERError; ValueError when what is
    shown is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((server.host, server.port), timeout=timeout_seconds) as stream:
        if tls is TLSMode.STARTTLS:
            _ask_for_tls(stream, server)
        with context.wrap_socket(stream, server_hostname=server.host) as safe:
            shown = safe.getpeercert(binary_form=True)
    found = x509.load_der_x509_certificate(shown or b"")
    return ServerCertificate(
        subject=found.subject.rfc4514_string(),
        issuer=found.issuer.rfc4514_string(),
        names=_names(found),
        starts_at=found.not_valid_before_utc,
        ends_at=found.not_valid_after_utc,
    )


def _ask_for_tls(stream: socket.socket, server: LDAPServer) -> None:
    stream.sendall(_START_TLS)
    cutter = MessageCutter(_MOST_BYTES)
    while True:
        piece = stream.recv(_MOST_BYTES)
        if not piece:
            raise LDAPTLSError(f"{server} closed the connection instead of answering StartTLS")
        for message in cutter.feed(piece):
            result = ber.read_result(message, ber.read_head(message))
            if result.code:
                raise LDAPTLSError(f"{server} refuses StartTLS: {describe_result(result)}")
            return


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *listed.get_values_for_type(x509.DNSName),
        *map(str, listed.get_values_for_type(x509.IPAddress)),
    )
