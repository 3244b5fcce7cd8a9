"""Private OpenLDAP servers for one test session: a folder and two ports each, and no trace afterwards.

Knows nothing of Usher. The accounts stand in a database of their own, so that any export can be loaded beside them:
`reader` may read everything, `limited` no more than a thousand entries, `blind` sees no people, `stale` has a
password that has ended, and `root` may write.
"""

import contextlib
import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.certificates import Certificates, KeyPair

SUFFIX = "dc=example,dc=org"
ACCOUNTS = "o=accounts"
PASSWORD = "open sesame"
ROOT_DN = f"cn=root,{SUFFIX}"
NOT_FOUND = (
    "no slapd here: install Debian's packages 'slapd' and 'ldap-utils', or run 'make test' as root there"
)
MODULES = ("back_mdb", "memberof", "refint", "syncprov", "ppolicy")
SCHEMAS = ("core", "cosine", "inetorgperson", "nis")
_FOLDERS = ("/usr/sbin", "/usr/lib/openldap", "/usr/libexec", "/usr/local/libexec")
_SCHEMA_FOLDERS = ("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
_MODULE_FOLDERS = ("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap", "/usr/local/libexec/openldap")


def account(name: str) -> str:
    """The DN of one of the accounts."""
    return ROOT_DN if name == "root" else f"cn={name},{ACCOUNTS}"


class SlapdUnavailableError(Exception):
    """No server can be had here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the distribution keeps what a server needs."""

    slapd: Path
    slapadd: Path
    schemas: Path
    modules: Path


def default_path(environment: Mapping[str, str]) -> str:
    """PATH, and where distributions keep what only administrators call."""
    return os.pathsep.join([environment.get("PATH", ""), *_FOLDERS])


def find_programs(places: str) -> Programs:
    """Look for the programs in `places`, written as PATH is. Raises SlapdUnavailableError."""
    slapd, slapadd = (shutil.which(name, path=places) for name in ("slapd", "slapadd"))
    schemas = next((Path(one) for one in _SCHEMA_FOLDERS if Path(one, "core.schema").is_file()), None)
    modules = next((Path(one) for one in _MODULE_FOLDERS if Path(one, "back_mdb.la").exists()), None)
    if slapd is None or slapadd is None or schemas is None or modules is None:
        raise SlapdUnavailableError(NOT_FOUND)
    return Programs(Path(slapd), Path(slapadd), schemas, modules)


def require_programs(environment: Mapping[str, str]) -> Programs:
    """The programs; without them the asking test is skipped with a plain line, or failed when REQUIRE_SLAPD=1."""
    try:
        return find_programs(environment.get("SLAPD_PATH") or default_path(environment))
    except SlapdUnavailableError as error:
        if environment.get("REQUIRE_SLAPD") == "1":
            pytest.fail(f"REQUIRE_SLAPD=1, but {error}", pytrace=False)
        pytest.skip(str(error))


@dataclass(slots=True)
class Slapd:
    """One server in its folder. Start it when its data is loaded."""

    programs: Programs
    folder: Path
    authority: Path
    keys: KeyPair
    port: int = 0
    tls_port: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    def load(self, ldif: Path | str, *, database: int = 1) -> None:
        """Load an export, given as a file or as text, the quick way: overlays do not see it."""
        source = self.folder / "load.ldif"
        if isinstance(ldif, str):
            source.write_text(ldif, encoding="utf-8")
        else:
            _unpack(ldif, source)
        self._configure()
        command = [str(self.programs.slapadd), "-q", "-w", "-f", str(self._config), "-n", str(database)]
        done = subprocess.run([*command, "-l", str(source)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SlapdUnavailableError(f"slapadd failed: {done.stderr[-2000:]}")
        source.unlink()

    def start(self) -> None:
        """Start, or start again after `stop` or `kill`; returns when it listens."""
        if not self.port:
            self.load(_accounts(), database=2)
            self.port, self.tls_port = _free_ports(2)
        self._configure()
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port} ldaps://127.0.0.2:{self.tls_port}"
        with (self.folder / "slapd.out").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self.programs.slapd), "-d", "0", "-f", str(self._config), "-h", urls],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port)):
                return
            threading.Event().wait(0.02)
        said = (self.folder / "slapd.out").read_text(errors="replace")
        self.stop()
        raise SlapdUnavailableError(f"slapd did not start: {said[-2000:]}")

    def stop(self) -> None:
        """Stop, whatever state it is in."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it listen and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # The signal takes its time to reach every thread; until then requests are answered.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """End all connections and start again."""
        self.stop()
        self.start()

    def modify(self, ldif: str) -> None:
        """Apply an LDIF of changes as root."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ROOT_DN, "-w", PASSWORD]
        done = subprocess.run(command, input=ldif, text=True, capture_output=True, check=False)
        assert not done.returncode, done.stderr

    @property
    def _config(self) -> Path:
        return self.folder / "slapd.conf"

    def _configure(self) -> None:
        for name in ("data", "accounts"):
            (self.folder / name).mkdir(exist_ok=True)
        self._config.write_text(_configuration(self), encoding="utf-8")


class SlapdFactory:
    """Makes servers of one session; the session ends them."""

    def __init__(self, programs: Programs, folder: Path, certificates: Certificates) -> None:
        self.certificates = certificates
        self._programs = programs
        self._folder = folder
        self._made: list[Slapd] = []

    def __call__(self, *ldifs: Path | str, keys: KeyPair | None = None) -> Slapd:
        """A running server that holds the exports."""
        slapd = self.prepare(keys=keys)
        for ldif in ldifs:
            slapd.load(ldif)
        slapd.start()
        return slapd

    def prepare(self, *, keys: KeyPair | None = None) -> Slapd:
        """A server that is empty and not yet started."""
        folder = self._folder / f"slapd-{len(self._made)}"
        folder.mkdir()
        made = Slapd(self._programs, folder, self.certificates.authority, keys or self.certificates.good)
        self._made.append(made)
        return made

    def copy(self, original: Slapd) -> Slapd:
        """A server with the data of another, for a test that writes."""
        made = self.prepare()
        for name in ("data", "accounts"):
            shutil.copytree(original.folder / name, made.folder / name, copy_function=_copy_sparse)
        made.port, made.tls_port = _free_ports(2)
        made.start()
        return made

    def stop_all(self) -> None:
        for slapd in self._made:
            slapd.stop()


@contextlib.contextmanager
def slapd_factory(
    folder: Path, certificates: Certificates, environment: Mapping[str, str]
) -> Iterator[SlapdFactory]:
    """A factory whose servers end with the context."""
    factory = SlapdFactory(require_programs(environment), folder, certificates)
    try:
        yield factory
    finally:
        factory.stop_all()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _copy_sparse(source: str, sink: str) -> None:
    """Copy a file with its holes: a database is a few megabytes in a file as long as it may ever become."""
    with open(source, "rb") as full, open(sink, "wb") as empty:
        empty.truncate(os.fstat(full.fileno()).st_size)
        at = 0
        # Behind the last of the data there is nothing to seek.
        with contextlib.suppress(OSError):
            while True:
                at = os.lseek(full.fileno(), at, os.SEEK_DATA)
                stop = os.lseek(full.fileno(), at, os.SEEK_HOLE)
                os.lseek(empty.fileno(), at, os.SEEK_SET)
                os.lseek(full.fileno(), at, os.SEEK_SET)
                while at < stop:
                    at += os.sendfile(empty.fileno(), full.fileno(), None, stop - at)


def _unpack(packed: Path, plain: Path) -> None:
    """Write the export unpacked, and without what slapadd cannot take.

    It takes the version for an entry, and passwords are missed in an export whose reader was not shown them.
    """
    opener = gzip.open if packed.suffix == ".gz" else open
    left_out = {b"version: 1\n", b"objectClass: simpleSecurityObject\n"}
    with opener(packed, "rb") as source, plain.open("wb") as sink:
        sink.writelines(line for line in source if line not in left_out)


def _configuration(slapd: Slapd) -> str:
    programs, folder = slapd.programs, slapd.folder
    head = [f"include {programs.schemas}/{name}.schema" for name in SCHEMAS]
    head += [f"modulepath {programs.modules}", *(f"moduleload {name}" for name in MODULES)]
    return "\n".join(head) + re.sub(
        r"(?m)^ {4}",
        "",
        f"""
    pidfile {folder}/slapd.pid
    argsfile {folder}/slapd.args
    serverID 1
    sortvals member memberUid uniqueMember
    TLSCACertificateFile {slapd.authority}
    TLSCertificateFile {slapd.keys.certificate}
    TLSCertificateKeyFile {slapd.keys.key}

    database mdb
    suffix "{SUFFIX}"
    rootdn "{ROOT_DN}"
    rootpw "{PASSWORD}"
    directory {folder}/data
    maxsize 4294967296
    dbnosync
    index objectClass,entryUUID,entryCSN,uid,cn,mail,member,memberUid,modifyTimestamp eq
    limits dn.exact="{account("reader")}" size=unlimited time=unlimited
    limits dn.exact="{account("blind")}" size=unlimited time=unlimited
    limits dn.exact="{account("limited")}" size.soft=500 size.hard=1000 size.pr=500 size.prtotal=1000
    access to attrs=userPassword by anonymous auth by * none
    access to dn.children="ou=people,{SUFFIX}" by dn.exact="{account("blind")}" none by * read
    access to * by * read
    overlay memberof
    memberof-refint true
    memberof-dangling ignore
    overlay refint
    refint_attributes member uniqueMember
    overlay syncprov
    syncprov-sessionlog 1000

    database mdb
    suffix "{ACCOUNTS}"
    rootdn "cn=root,{ACCOUNTS}"
    directory {folder}/accounts
    maxsize 16777216
    dbnosync
    access to attrs=userPassword by anonymous auth by * none
    access to * by * read
    overlay ppolicy
    ppolicy_default "cn=policy,{ACCOUNTS}"
    ppolicy_use_lockout
    """,
    )


def _accounts() -> str:
    text = f"dn: {ACCOUNTS}\nobjectClass: organization\no: accounts\n\n"
    text += (
        f"dn: cn=policy,{ACCOUNTS}\nobjectClass: organizationalRole\nobjectClass: pwdPolicy\ncn: policy\n"
        "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 3\npwdMaxAge: 31536000\n\n"
    )
    for name in ("reader", "limited", "blind", "stale"):
        text += f"dn: {account(name)}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        text += f"cn: {name}\nuserPassword: {PASSWORD}\n"
        text += "pwdChangedTime: 20000101000000Z\n\n" if name == "stale" else "\n"
    return text
