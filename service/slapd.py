"""A private OpenLDAP server on this machine for the demo: its own folder, a free port, and it ends with its context.

It listens on loopback alone. The system's own slapd, if there is one, is neither asked nor touched.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.errors import FileAccessError, ServiceError

_FOLDERS: Final = ("/usr/sbin", "/usr/lib/openldap", "/usr/libexec", "/usr/local/libexec")
_SCHEMA_FOLDERS: Final = ("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
_MODULE_FOLDERS: Final = (
    "/usr/lib/ldap",
    "/usr/lib64/openldap",
    "/usr/lib/openldap",
    "/usr/local/libexec/openldap",
)
_START_SECONDS: Final = 20
# Of the entries that are loaded too, or the first edit would look like that of another server.
_SERVER_ID: Final = "1"
_OWNER_ONLY: Final = 0o600
_FOLDER_OF_OWNER: Final = 0o700


class SlapdError(ServiceError):
    """There is no slapd here, or it does not start."""

    code = "slapd"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the distribution keeps what a server needs."""

    slapd: str
    slapadd: str
    schemas: str
    modules: str


@dataclass(frozen=True, slots=True)
class PrivateSlapd:
    """A server that runs. `reader_dn` may read everything, `admin_dn` may write; their passwords lie in files."""

    url: str
    reader_dn: str
    reader_password: Path
    admin_dn: str
    admin_password: Path


def find_programs(environ: Mapping[str, str], *, folders: Sequence[str] = _FOLDERS) -> Programs:
    """Look on PATH, then where only administrators look. Raises SlapdError with what to install."""
    places = os.pathsep.join([environ.get("PATH", ""), *folders])
    slapd, slapadd = (shutil.which(name, path=places) for name in ("slapd", "slapadd"))
    schemas = next((one for one in _SCHEMA_FOLDERS if Path(one, "core.schema").is_file()), None)
    modules = next((one for one in _MODULE_FOLDERS if Path(one, "back_mdb.la").exists()), None)
    if slapd is None or slapadd is None or schemas is None or modules is None:
        raise SlapdError(
            "there is no slapd on this machine; install OpenLDAP's server (on Debian: 'slapd' and 'ldap-utils'), "
            "or run the demo without it ('make run')"
        )
    return Programs(slapd, slapadd, schemas, modules)


@contextmanager
def run_slapd(folder: Path, ldif: str, *, suffix: str, programs: Programs) -> Iterator[PrivateSlapd]:
    """Serve what the folder holds; on the first start, the export. Raises SlapdError, FileAccessError."""
    made = _prepare(folder.absolute(), suffix)
    config = folder.absolute() / "slapd.conf"
    try:
        is_new = not (folder / "data" / "data.mdb").exists()
        (folder / "data").mkdir(mode=_FOLDER_OF_OWNER, exist_ok=True)
        _write(config, _configuration(folder.absolute(), suffix, made, programs))
        if is_new:
            _load(folder.absolute(), ldif, made, config, programs)
    except OSError as err:
        raise FileAccessError(f"'{err.filename}' cannot be written: {err.strerror}") from err
    port = _free_port()
    url = f"ldap://127.0.0.1:{port}"
    with (folder / "slapd.log").open("wb") as log:
        # In a session of its own: Ctrl-C is for us, who end it in good order.
        process = subprocess.Popen(  # noqa: S603 - the distribution's own program, by its full path
            [programs.slapd, "-d", "0", "-f", str(config), "-h", url],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, port, folder / "slapd.log")
        yield PrivateSlapd(url, made.reader_dn, made.reader_password, made.admin_dn, made.admin_password)
    finally:
        process.terminate()
        process.wait()


def _prepare(folder: Path, suffix: str) -> PrivateSlapd:
    try:
        folder.mkdir(mode=_FOLDER_OF_OWNER, parents=True, exist_ok=True)
        files = [folder / f"{name}.password" for name in ("reader", "admin")]
        for file in files:
            if not file.exists():
                _write(file, secrets.token_urlsafe(18))
    except OSError as err:
        raise FileAccessError(f"'{err.filename}' cannot be written: {err.strerror}") from err
    reader, admin = files
    return PrivateSlapd("", f"cn=usher,{suffix}", reader, f"cn=admin,{suffix}", admin)


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", opener=_open_for_owner) as file:
        file.write(text)


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _configuration(folder: Path, suffix: str, made: PrivateSlapd, programs: Programs) -> str:
    names = ("core", "cosine", "inetorgperson", "nis")
    modules = ("back_mdb", "memberof", "refint", "syncprov", "ppolicy")
    password = made.admin_password.read_text(encoding="utf-8")
    lines = [
        *(f'include "{programs.schemas}/{name}.schema"' for name in names),
        f'modulepath "{programs.modules}"',
        *(f"moduleload {name}" for name in modules),
        f'pidfile "{folder}/slapd.pid"',
        f'argsfile "{folder}/slapd.args"',
        f"serverID {_SERVER_ID}",
        "database mdb",
        f'suffix "{suffix}"',
        f'rootdn "{made.admin_dn}"',
        f'rootpw "{password}"',
        f'directory "{folder}/data"',
        "maxsize 268435456",
        "index objectClass,entryUUID,entryCSN,uid,cn,mail,member,modifyTimestamp eq",
        f'limits dn.exact="{made.reader_dn}" size=unlimited time=unlimited',
        "access to attrs=userPassword by anonymous auth by * none",
        f'access to * by dn.exact="{made.reader_dn}" read by * none',
        "overlay memberof",
        "memberof-refint true",
        "memberof-dangling ignore",
        "overlay refint",
        "refint_attributes member",
        "overlay syncprov",
        "syncprov-sessionlog 1000",
        "overlay ppolicy",
    ]
    return "\n".join(lines) + "\n"


def _load(folder: Path, ldif: str, made: PrivateSlapd, config: Path, programs: Programs) -> None:
    # slapadd takes the version line for an entry.
    text = "\n".join(line for line in ldif.splitlines() if line != "version: 1")
    reader = (
        f"\n\ndn: {made.reader_dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: usher\n"
        f"userPassword: {made.reader_password.read_text(encoding='utf-8')}\n"
    )
    source = folder / "load.ldif"
    _write(source, text + reader)
    command = [
        programs.slapadd,
        "-q",
        "-w",
        "-S",
        _SERVER_ID,
        "-f",
        str(config),
        "-n",
        "1",
        "-l",
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above
    source.unlink()
    if done.returncode:
        shutil.rmtree(folder / "data")
        raise SlapdError(f"slapadd cannot load the sample data: {done.stderr.strip()[-500:]}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    ends_at = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < ends_at:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    raise SlapdError(f"slapd does not start: {said[-500:] or 'it says nothing'}")
