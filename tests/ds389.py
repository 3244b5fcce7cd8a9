"""Private 389 Directory Servers for one test session: a folder and a port each, and no trace afterwards.

Knows nothing of Usher. The distribution's own set-up makes an instance of the system, with a unit and folders in many
places; here its template is filled in instead, so that all stands in one folder and nobody need be root.
`reader` may read people and groups, their id and their lock, without limits; `limited` gets ten entries. Both
changes and memberships are kept up by the server: retro changelog, content synchronisation, memberOf.
"""

import base64
import contextlib
import getpass
import hashlib
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

SUFFIX = "dc=example,dc=org"
SERVICES = f"ou=services,{SUFFIX}"
PASSWORD = "open sesame"
ROOT_DN = f"cn=root,{SUFFIX}"
NOT_FOUND = "no ns-slapd here: install Debian's package '389-ds-base', or run 'make test' as root there"
PLUGINS = ("Retro Changelog Plugin", "Content Synchronization", "MemberOf Plugin")
_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
_TEMPLATE = "share/dirsrv/data/template-dse.ldif"
_KEYS = ("lock", "tmp", "cert", "ldif", "bak", "run", "inst", "log", "config", "db", "db_home")
_READ = "(read, search, compare)"


def account(name: str) -> str:
    """The DN of one of the accounts."""
    return ROOT_DN if name == "root" else f"cn={name},{SERVICES}"


class DS389UnavailableError(Exception):
    """No server can be had here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the distribution keeps what a server needs."""

    server: Path
    template: Path


def find_programs(places: str) -> Programs:
    """Look for the server in `places`, written as PATH is. Raises DS389UnavailableError."""
    server = shutil.which("ns-slapd", path=places)
    template = Path(server or "/nowhere/sbin").parent.parent / _TEMPLATE
    if server is None or not template.is_file():
        raise DS389UnavailableError(NOT_FOUND)
    return Programs(Path(server), template)


def require_programs(environment: Mapping[str, str]) -> Programs:
    """The programs; without them the asking test is skipped with a plain line, or failed when REQUIRE_389=1."""
    places = os.pathsep.join([environment.get("PATH", ""), *_FOLDERS])
    try:
        return find_programs(environment.get("DS389_PATH") or places)
    except DS389UnavailableError as error:
        if environment.get("REQUIRE_389") == "1":
            pytest.fail(f"REQUIRE_389=1, but {error}", pytrace=False)
        pytest.skip(str(error))


@dataclass(slots=True)
class DS389:
    """One server in its folder."""

    programs: Programs
    folder: Path
    port: int = 0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    def load(self, ldif: str) -> None:
        """Load entries in place of all that there was, behind the suffix and the accounts."""
        source = self.folder / "load.ldif"
        source.write_text(_head() + ldif, encoding="utf-8")
        (self.folder / "log" / "errors").unlink(missing_ok=True)
        command = [str(self.programs.server), "ldif2db", "-D", str(self._config), "-n", "userRoot"]
        done = subprocess.run([*command, "-i", str(source)], capture_output=True, text=True, check=False)
        said = self._said()
        if done.returncode or "were skipped" in said:
            raise DS389UnavailableError(f"ldif2db failed: {done.stderr[-500:]}{said[-2000:]}")

    def configure(self) -> None:
        """Make its folders and write its configuration."""
        self.port = _free_port()
        for name in _KEYS:
            (self.folder / name).mkdir(exist_ok=True)
        for name, text in _FILES.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        text = _configuration(self.programs.template.read_text(encoding="utf-8"), self.folder, self.port)
        (self._config / "dse.ldif").write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Start, or start again after `stop`; returns when it listens."""
        with (self.folder / "server.out").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(self.programs.server),
                    "-d",
                    "0",
                    "-D",
                    str(self._config),
                    "-i",
                    str(self.folder / "pid"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        while self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            threading.Event().wait(0.02)
        self._process = None
        raise DS389UnavailableError(f"ns-slapd did not start: {self._said()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it if it runs. It takes two seconds to go when asked."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """End all connections and start again."""
        self.stop()
        self.start()

    def keep(self) -> None:
        """Remember what it holds now, for `reset`."""
        self.stop()
        shutil.copytree(self.folder / "db", self.folder / "kept")
        self.start()

    def reset(self) -> None:
        """Let it hold again what it held at `keep`, and nothing of its log of changes since."""
        self.stop(signal.SIGKILL)
        for name in ("db", "db_home"):
            shutil.rmtree(self.folder / name)
        shutil.copytree(self.folder / "kept", self.folder / "db")
        (self.folder / "db_home").mkdir()
        self.start()

    def modify(self, ldif: str) -> None:
        """Apply an LDIF of changes as root."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ROOT_DN, "-w", PASSWORD]
        done = subprocess.run(command, input=ldif, text=True, capture_output=True, check=False)
        assert not done.returncode, done.stderr

    @property
    def _config(self) -> Path:
        return self.folder / "config"

    def _said(self) -> str:
        log = self.folder / "log" / "errors"
        return log.read_text(errors="replace") if log.exists() else ""


class DS389Factory:
    """Makes servers of one session; the session ends them."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._made: list[DS389] = []

    def __call__(self, ldif: str = "") -> DS389:
        """A running server that holds the entries beside the suffix and the accounts."""
        made = self.prepare()
        made.load(ldif)
        made.start()
        return made

    def prepare(self) -> DS389:
        """A server that is empty and not yet started."""
        folder = self._folder / f"ds389-{len(self._made)}"
        folder.mkdir()
        made = DS389(self._programs, folder)
        made.configure()
        self._made.append(made)
        return made

    def stop_all(self) -> None:
        """End every server and remove what it kept, which pytest would hold on to for three sessions."""
        for server in self._made:
            server.stop(signal.SIGKILL)
            shutil.rmtree(server.folder)


@contextlib.contextmanager
def ds389_factory(folder: Path, environment: Mapping[str, str]) -> Iterator[DS389Factory]:
    """A factory whose servers end with the context."""
    factory = DS389Factory(require_programs(environment), folder)
    try:
        yield factory
    finally:
        factory.stop_all()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


_FILES: Mapping[str, str] = {
    # Of the distribution's own ones, not everybody may read the folder.
    "config/slapd-collations.conf": "",
    "config/certmap.conf": "certmap default default\n",
    "config/schema/99user.ldif": (
        "dn: cn=schema\nobjectClass: top\nobjectClass: ldapSubentry\nobjectClass: subschema\ncn: schema\n"
    ),
}


def _configuration(template: str, folder: Path, port: int) -> str:
    values = {f"{name}_dir": str(folder / name) for name in _KEYS} | {
        "schema_dir": str(folder / "config" / "schema"),
        "fqdn": "localhost",
        "ds_port": str(port),
        "ds_user": getpass.getuser(),
        "rootdn": ROOT_DN,
        "ds_passwd": _hashed(PASSWORD),
        "ds_suffix": SUFFIX,
        "db_lib": "bdb",
        "ldapi_enabled": "off",
        "ldapi": str(folder / "socket"),
        "ldapi_autobind": "off",
    }
    text = re.sub("%([a-z_]+)%", lambda found: values[found[1]], template)
    for name in PLUGINS:
        head, begin, rest = text.partition(f"dn: cn={name},cn=plugins,cn=config\n")
        text = head + begin + rest.replace("nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on", 1)
    for behind, more in (
        (f"nsslapd-port: {port}\n", "nsslapd-listenhost: 127.0.0.1\n"),
        ("cn: Retro Changelog Plugin\n", "nsslapd-attribute: nsuniqueid:targetUniqueId\n"),
        # Without this it takes a fifth of the machine's memory.
        (
            f"nsslapd-directory: {folder}/db\n",
            "nsslapd-cache-autosize: 0\nnsslapd-import-cache-autosize: 0\n",
        ),
    ):
        assert behind in text, behind
        text = text.replace(behind, behind + more, 1)
    backend = [
        *("objectClass: top", "objectClass: extensibleObject", "objectClass: nsBackendInstance"),
        *("cn: userRoot", f"nsslapd-suffix: {SUFFIX}", f"nsslapd-directory: {folder}/db/userRoot"),
    ]
    mapping = [
        *("objectClass: top", "objectClass: extensibleObject", "objectClass: nsMappingTree"),
        *(f"cn: {SUFFIX}", "nsslapd-state: backend", "nsslapd-backend: userRoot"),
    ]
    return "\n".join(
        [
            text.rstrip(),
            "",
            *("dn: cn=userRoot,cn=ldbm database,cn=plugins,cn=config", *backend, ""),
            *(f'dn: cn="{SUFFIX}",cn=mapping tree,cn=config', *mapping, ""),
        ]
    )


def _head() -> str:
    """The suffix with its access rules, and the accounts."""
    shown = "* || nsUniqueId || nsAccountLock || modifyTimestamp"
    rule = f'(targetattr="{shown}")(version 3.0; acl "read"; allow {_READ} userdn="ldap:///cn=*,{SERVICES}";)'
    text = f"dn: {SUFFIX}\nobjectClass: domain\ndc: example\naci: {rule}\n\n"
    text += f"dn: {SERVICES}\nobjectClass: organizationalUnit\nou: services\n\n"
    for name, limit in (("reader", -1), ("limited", 10)):
        limits = "".join(
            f"{key}: {limit}\n"
            for key in ("nsSizeLimit", "nsLookThroughLimit", "nsPagedSizeLimit", "nsPagedLookThroughLimit")
        )
        text += f"dn: {account(name)}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        text += f"objectClass: extensibleObject\ncn: {name}\nuserPassword: {_hashed(PASSWORD)}\n{limits}\n"
    return text


def _hashed(password: str) -> str:
    salt = b"of a test"
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"{{SSHA512}}{base64.b64encode(digest + salt).decode('ascii')}"
