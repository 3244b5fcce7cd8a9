"""Private Samba domain controllers for one test session: a folder and a port each, and no trace afterwards.

Knows nothing of Usher. A controller insists on its ports, so each runs in a network of its own
(`tests/in_namespace.py`), with LDAP alone of all its services, and is reached over LDAPS. `Administrator` may write,
`reader` is an ordinary account, and `syncer` may replicate changes and list what is deleted besides.
"""

import base64
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import in_namespace
from tests.certificates import Certificates

REALM = "ad.example.org"
SUFFIX = "DC=ad,DC=example,DC=org"
PASSWORD = "Open sesame 1"
NOT_FOUND = (
    "no Samba domain controller here: it takes root, and Debian's packages 'samba', 'samba-ad-dc' and 'ldb-tools', "
    "which 'make test' installs as root there"
)
SHOW_DELETED = "1.2.840.113556.1.4.417"
_PROGRAMS = ("samba", "samba-tool", "ldbmodify", "ldapmodify", "unshare")
_FOLDERS = ("/usr/sbin", "/usr/local/samba/sbin", "/usr/local/samba/bin")
_REPLICATE_CHANGES = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2"
_RECYCLE_BIN = f"""dn:
changetype: modify
add: enableOptionalFeature
enableOptionalFeature: CN=Partitions,CN=Configuration,{SUFFIX}:766ddcd8-acd0-445e-f3b9-a7f9b6744f2a
"""
# What the container comes with, and one more who may read and list it.
_LISTS_DELETED = f"""dn: CN=Deleted Objects,{SUFFIX}
changetype: modify
replace: nTSecurityDescriptor
nTSecurityDescriptor: O:SYG:SYD:PAI(A;;RPWPCCDCLCRCWOWDSDSW;;;SY)(A;;RPLC;;;BA)(A;;RPLC;;;{{sid}})
"""


def account(name: str) -> str:
    """The name by which one of the accounts is let in."""
    return f"{name}@{REALM}"


class SambaUnavailableError(Exception):
    """No controller can be had here; the text says why and what to do."""


def find_programs(places: str, user: int) -> dict[str, str]:
    """Look for the programs in `places`, written as PATH is. Raises SambaUnavailableError."""
    found = {name: shutil.which(name, path=places) for name in _PROGRAMS}
    if user or None in found.values():
        raise SambaUnavailableError(NOT_FOUND)
    return {name: path for name, path in found.items() if path is not None}


@dataclass(slots=True)
class SambaDC:
    """One controller in its folder. Start it when it is set up."""

    programs: Mapping[str, str]
    folder: Path
    certificates: Certificates
    port: int = 0
    plain_port: int = 0
    tries: int = 1200
    """How often it is asked whether it listens, twenty times a second."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def provision(self) -> None:
        """Make the domain and its accounts."""
        settings = (
            "--realm",
            REALM.upper(),
            "--domain",
            "AD",
            "--server-role",
            "dc",
            "--dns-backend",
            "NONE",
        )
        place = ("--host-name", "dc1", "--host-ip", "127.0.0.1", "--targetdir", str(self.folder))
        self._tool("domain", "provision", *settings, *place, "--adminpass", PASSWORD)
        self._configure()
        self._tool("domain", "passwordsettings", "set", "--complexity=off", "--max-pwd-age=0", *self._on_disk)
        for name in ("reader", "syncer"):
            self._tool("user", "create", name, PASSWORD, *self._on_disk)
        shown = self._tool("user", "show", "syncer", "--attributes=objectSid", *self._on_disk)
        (sid,) = (line.split()[1] for line in shown.splitlines() if line.startswith("objectSid"))
        right = f"--sddl=(OA;;CR;{_REPLICATE_CHANGES};;{sid})"
        self._tool("dsacl", "set", f"--objectdn={SUFFIX}", right, *self._on_disk)
        self._change_on_disk(_LISTS_DELETED.format(sid=sid))

    def enable_recycle_bin(self) -> None:
        """Keep the links of what is deleted; to be done before the start, and for good."""
        self._configure()
        self._change_on_disk(_RECYCLE_BIN)

    def start(self) -> None:
        """Start; returns when it listens."""
        self._configure()
        with contextlib.ExitStack() as stack:
            secure, plain = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
            self.port, self.plain_port = secure.getsockname()[1], plain.getsockname()[1]
            passed = [f"{secure.fileno()}=636", f"{plain.fileno()}=389"]
            inside = [sys.executable, in_namespace.__file__, *passed, "--"]
            samba = [self.programs["samba"], "-F", "--no-process-group", "-M", "single", "--debug-stdout"]
            own = [self.programs["unshare"], "--net", "--pid", "--fork", "--kill-child"]
            with (self.folder / "samba.out").open("ab") as output:
                self._process = subprocess.Popen(
                    [*own, *inside, *samba, "--configfile", str(self._config)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(secure.fileno(), plain.fileno()),
                )
        for _ in range(self.tries):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                self._greet()
                return
            threading.Event().wait(0.05)
        said = (self.folder / "samba.out").read_text(errors="replace")
        self.stop()
        raise SambaUnavailableError(f"Samba does not run here: {' '.join(said.split())[-500:]}")

    def stop(self) -> None:
        """Stop, whatever state it is in."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def modify(self, ldif: str, *, controls: tuple[str, ...] = ()) -> None:
        """Apply an LDIF of changes as the administrator."""
        command = ["ldapmodify", "-x", "-H", f"ldaps://127.0.0.1:{self.port}", "-D", account("Administrator")]
        command += ["-w", PASSWORD, *(part for oid in controls for part in ("-e", f"!{oid}"))]
        self._call(*command, given=ldif)

    def ask(self, base: str, text: str, *attributes: str, controls: tuple[str, ...] = ()) -> str:
        """What `ldapsearch` says, as the administrator, without folding and comments."""
        command = ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", f"ldaps://127.0.0.1:{self.port}"]
        command += ["-D", account("Administrator"), "-w", PASSWORD, "-b", base]
        command += [*(part for oid in controls for part in ("-E", f"!{oid}")), text, *attributes]
        return self._call(*command)

    @property
    def _config(self) -> Path:
        return self.folder / "etc" / "smb.conf"

    @property
    def _database(self) -> Path:
        return self.folder / "private" / "sam.ldb"

    @property
    def _on_disk(self) -> tuple[str, ...]:
        return ("-H", str(self._database), "-s", str(self._config))

    def _greet(self) -> None:
        context = ssl.create_default_context(cafile=str(self.certificates.authority))
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream,
            context.wrap_socket(stream, server_hostname="localhost"),
        ):
            pass

    def _configure(self) -> None:
        key = self.folder / "tls.key"
        shutil.copyfile(self.certificates.good.key, key)
        key.chmod(0o600)
        (self.folder / "run").mkdir(exist_ok=True)
        self._config.write_text(_configuration(self, key), encoding="utf-8")

    def _change_on_disk(self, ldif: str) -> None:
        """Change what no account may, as the system."""
        changes = self.folder / "changes.ldif"
        changes.write_text(ldif, encoding="utf-8")
        place = ("-H", str(self._database), "--configfile", str(self._config))
        self._call("ldbmodify", *place, "--show-deleted", str(changes))

    def _tool(self, *arguments: str) -> str:
        return self._call("samba-tool", *arguments)

    def _call(self, name: str, *arguments: str, given: str = "") -> str:
        environment = {
            "PATH": os.pathsep.join([os.defpath, *_FOLDERS]),
            "LDAPTLS_CACERT": str(self.certificates.authority),
            "LC_ALL": "C.UTF-8",
        }
        command = [self.programs.get(name, name), *arguments]
        done = subprocess.run(
            command, input=given, text=True, capture_output=True, env=environment, check=False
        )
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())
            raise SambaUnavailableError(f"{name} failed: {said[-500:]}")
        return done.stdout


class SambaFactory:
    """Makes controllers of one domain, each as it was when it was new; the session ends them."""

    def __init__(self, programs: Mapping[str, str], folder: Path, certificates: Certificates) -> None:
        self.certificates = certificates
        self.programs = programs
        self._folder = folder
        self._made: list[SambaDC] = []
        self._new = SambaDC(programs, folder / "new", certificates)
        self._new.folder.mkdir()
        self._new.provision()

    def __call__(self, *, recycle_bin: bool = False) -> SambaDC:
        """A running controller."""
        folder = self._folder / f"dc-{len(self._made)}"
        shutil.copytree(self._new.folder, folder, ignore=shutil.ignore_patterns("sysvol"))
        made = SambaDC(self.programs, folder, self.certificates)
        self._made.append(made)
        if recycle_bin:
            made.enable_recycle_bin()
        made.start()
        return made

    def stop_all(self) -> None:
        for made in self._made:
            made.stop()
            shutil.rmtree(made.folder)
        shutil.rmtree(self._new.folder)


@contextlib.contextmanager
def samba_factory(
    folder: Path, certificates: Certificates, environment: Mapping[str, str], *, user: int
) -> Iterator[SambaFactory]:
    """A factory whose controllers end with the context.

    Where none can run, the asking test is skipped with a plain line, or failed when REQUIRE_SAMBA=1.
    """
    places = os.pathsep.join([environment.get("PATH", ""), *_FOLDERS])
    factory: SambaFactory | None = None
    try:
        programs = find_programs(environment.get("SAMBA_PATH") or places, user)
        factory = SambaFactory(programs, folder, certificates)
    except SambaUnavailableError as error:
        if environment.get("REQUIRE_SAMBA") == "1":
            pytest.fail(f"REQUIRE_SAMBA=1, but {error}", pytrace=False)
        pytest.skip(str(error))
    try:
        yield factory
    finally:
        factory.stop_all()


def unicode_password(text: str) -> str:
    """The line of an LDIF that sets a password."""
    quoted = f'"{text}"'.encode("utf-16-le")
    return f"unicodePwd:: {base64.b64encode(quoted).decode('ascii')}\n"


def _configuration(dc: SambaDC, key: Path) -> str:
    folder, run = dc.folder, dc.folder / "run"
    return f"""[global]
    realm = {REALM.upper()}
    workgroup = AD
    netbios name = DC1
    server role = active directory domain controller
    server services = ldap
    dcerpc endpoint servers =
    interfaces = lo
    bind interfaces only = yes
    private dir = {folder}/private
    lock directory = {folder}
    state directory = {folder}/state
    cache directory = {folder}/cache
    binddns dir = {folder}/bind-dns
    pid directory = {run}
    ncalrpc dir = {run}/ncalrpc
    winbindd socket directory = {run}/winbindd
    ntp signd socket directory = {run}/ntp
    nmbd:socket dir = {run}/nmbd
    log file = {folder}/samba.log
    ldap server require strong auth = yes
    tls enabled = yes
    tls certfile = {dc.certificates.good.certificate}
    tls keyfile = {key}
    tls cafile = {dc.certificates.authority}
"""
