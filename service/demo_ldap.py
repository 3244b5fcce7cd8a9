"""The first sample organisation, its directory read from a private OpenLDAP server instead of an export."""

import shlex
from collections.abc import Callable
from pathlib import Path

from audit.actors import AdminActor
from directory.changes import PutDirectory, PutDirectorySecret
from directory.ids import DirectoryId
from provisioning.state import StoredDirectory
from service.administration import Administration
from service.demo import DEMO, INTERVAL_SECONDS, DemoOrganisation, PreparedDemo, prepare_one, sample_text
from service.directories import LDAPDirectory, ldap_directory_settings
from service.errors import InputError
from service.passwords import SEALED
from service.slapd import PrivateSlapd
from service.wiring import Wiring

LDAP_DEMO = DEMO[0]
SUFFIX = "dc=kusthem,dc=example"
_NAME = "openldap"


def sample_export() -> str:
    """What the private server holds at first."""
    return sample_text(LDAP_DEMO, "directory.ldif")


def prepare_ldap_demo(
    wiring: Wiring, actor: AdminActor, slapd: PrivateSlapd, *, tell: Callable[[str], None]
) -> PreparedDemo:
    """Make what is missing of the sample organisation, and read the server. `tell` gets a line for each thing made.

    Raises: InputError where the organisation is read from its export already.
    """

    def add(
        demo: DemoOrganisation, administration: Administration, tell: Callable[[str], None]
    ) -> tuple[StoredDirectory, Path | str]:
        directory = _put_directory(demo, administration, slapd)
        tell(f"directory '{_NAME}' is read from {slapd.url} as {slapd.reader_dn}")
        return directory, slapd.url

    return prepare_one(LDAP_DEMO, wiring, actor, tell, add_directory=add)


def _put_directory(
    demo: DemoOrganisation, administration: Administration, slapd: PrivateSlapd
) -> StoredDirectory:
    """The directory at the port of this start."""
    with administration.read() as reader:
        others = [known for known in reader.directories() if known.kind == "ldif"]
        known = next((known for known in reader.directories() if known.kind == "ldap"), None)
    if others:
        raise InputError(
            [f"'{demo.name}' is read from its export here; give this demo a folder of its own by USHER_DATA"]
        )
    wiring = administration.wiring
    directory_id = known.directory_id if known else DirectoryId(wiring.mint.id())
    password = slapd.reader_password.read_bytes()
    user_base, group_base = demo.bases
    settings = ldap_directory_settings(
        LDAPDirectory(
            servers=(slapd.url,),
            tls="plain",
            bind_dn=slapd.reader_dn,
            password_name=f"{SEALED}password",
            user_bases=(user_base,),
            group_bases=(group_base,),
            dialect=demo.dialect,
            interval_seconds=INTERVAL_SECONDS,
        ),
        now=wiring.clock(),
    )
    administration.apply(
        [
            PutDirectory(directory_id, "ldap", _NAME, settings),
            PutDirectorySecret(directory_id, "password", password),
        ]
    )
    with administration.read() as reader:
        return next(known for known in reader.directories() if known.directory_id == directory_id)


def ldap_steps(slapd: PrivateSlapd, command: str, data: Path) -> list[str]:
    """Lines to copy that look at the server, and change a person there."""
    person = f"uid=oskar.holm,ou=people,{SUFFIX}"
    change = f"dn: {person}\\nchangetype: modify\\nreplace: title\\ntitle: Head of cleaning\\n"
    return [
        f"export USHER_DATA={shlex.quote(str(data))}",
        f"{command} directory test {_NAME}",
        f"{command} directory preview {_NAME}",
        f"printf '{change}' | ldapmodify -x -H {slapd.url} -D {slapd.admin_dn} "
        f"-y {shlex.quote(str(slapd.admin_password))}",
        f"{command} sync run {_NAME}",
        f"{command} sync history",
        f"{command} audit list --limit 10",
    ]
