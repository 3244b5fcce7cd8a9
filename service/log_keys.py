"""The keys that sign the log: a file outside of the database, so that who can write there cannot sign.

One key a line, the oldest first: private ones as `golang.org/x/mod/sumdb/note` writes them, and the public halves of
those that no longer sign. All of them are trusted when the log is verified here.
"""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.checkpoint import ED25519, parse_vkey
from audit.errors import KeyFormatError
from provisioning.sealing import Signer
from service.errors import FileAccessError, ServiceError
from service.key_file import exchange_file, locked_text
from service.settings import Settings

_PRIVATE = "PRIVATE+KEY+"
_SEED_BYTES = 32
_USUAL_NAME = "usher"


class LogKeyError(ServiceError):
    """The text of a log key file that cannot be used. Never repeats a private key."""

    code = "log_key_invalid"


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The file's keys: those that can sign by their key id, and every public one."""

    signers: Mapping[str, Signer]
    vkeys: tuple[str, ...]


def log_name(settings: Settings) -> str:
    """What a log that is new is called: where clients reach the service, or a plain word."""
    return urlsplit(settings.public_url).hostname or _USUAL_NAME


def make_log_key(name: str) -> str:
    """Make a line with a fresh private key."""
    return f"{_render_private(name, os.urandom(_SEED_BYTES))}\n"


def parse_log_keys(text: str) -> LogKeys:
    """Read the lines of a key file. Raises LogKeyError that names each line at fault."""
    signers: dict[str, Signer] = {}
    vkeys: list[str] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        try:
            if entry.startswith(_PRIVATE):
                signer = _parse_private(entry)
                signers[signer.key_id] = signer
                vkeys.append(signer.vkey)
            else:
                parse_vkey(entry)
                vkeys.append(entry)
        except (KeyFormatError, ValueError):
            faults.append(f"line {number} is no key")
    if faults:
        raise LogKeyError(
            f"the log key file cannot be used: {'; '.join(faults)}; restore it from your backup"
        )
    return LogKeys(signers, tuple(vkeys))


def load_log_keys(settings: Settings) -> LogKeys:
    """The keys as they are now; none when there is no file. Raises FileAccessError, LogKeyError."""
    path = settings.log_key_file
    try:
        return parse_log_keys(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return LogKeys({}, ())
    except UnicodeDecodeError as err:
        raise LogKeyError(f"the log key file {path} is no text; restore it from your backup") from err
    except OSError as err:
        raise FileAccessError(
            f"the log key file {path} cannot be read ({err.strerror}); give this user the right to read it"
        ) from err


def add_log_key(path: Path, name: str) -> Signer:
    """Put a fresh key behind the others. Raises: FileAccessError, LogKeyError."""
    line = make_log_key(name)
    _change(path, lambda text: f"{text.rstrip()}\n{line}")
    return _parse_private(line.strip())


def retire_log_keys(path: Path, key_ids: frozenset[str]) -> None:
    """Leave only the public halves of these keys. Raises: FileAccessError, LogKeyError."""

    def public(line: str) -> str:
        if not line.strip().startswith(_PRIVATE):
            return line
        signer = _parse_private(line.strip())
        return f"{signer.vkey}\n" if signer.key_id in key_ids else line

    _change(path, lambda text: "".join(map(public, text.splitlines(keepends=True))))


def _change(path: Path, change: Callable[[str], str]) -> None:
    # Exchanging a link would leave the file behind it as it is.
    path = path.resolve()
    try:
        with locked_text(path) as text:
            parse_log_keys(text)
            exchange_file(path, change(text))
    except OSError as err:
        raise FileAccessError(
            f"the log key file {path} cannot be changed ({err.strerror}); give this user the right to write to its "
            "folder"
        ) from err


def _render_private(name: str, seed: bytes) -> str:
    signer = _signer(name, seed)
    return f"{_PRIVATE}{name}+{signer.key_id}+{base64.b64encode(bytes([ED25519]) + seed).decode()}"


def _parse_private(line: str) -> Signer:
    name, _, rest = line.removeprefix(_PRIVATE).partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error as err:
        raise ValueError("not base64") from err
    if len(decoded) != _SEED_BYTES + 1 or decoded[0] != ED25519:
        raise ValueError("not a key of Ed25519")
    signer = _signer(name, decoded[1:])
    if signer.key_id != key_id:
        raise ValueError("its parts do not belong together")
    return signer


def _signer(name: str, seed: bytes) -> Signer:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return Signer(name, private.public_key().public_bytes_raw(), private.sign)
