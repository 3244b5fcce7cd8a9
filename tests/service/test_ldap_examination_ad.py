"""What the examination of a domain controller says of reading its changes."""

import pytest

from service.ldap_examination import examine_directory
from tests.samba_dc import PASSWORD, SambaDC
from tests.service.test_ldap_examination import NOW
from tests.sync.ad_trees import make_unit


@pytest.mark.samba
@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("syncer", ("has the right to replicate changes", "it sees deleted entries")),
        ("reader", ("without the right to replicate changes", "deletions wait for the next full reading")),
    ],
)
def test_the_account_s_rights_to_read_changes_are_told(
    samba_dc: SambaDC, account: str, words: tuple[str, str]
) -> None:
    unit = make_unit(samba_dc, f"examined {account}")
    unit.dc.modify(unit.new_person("anna"))
    given = unit.settings(account)
    del given["dialect"]

    found = examine_directory(given, passwords=lambda _name: PASSWORD, now=NOW)

    assert (found.is_good, found.dialect, found.method, found.users) == (
        True,
        "active_directory",
        "dirsync",
        1,
    )
    assert all(word in found.method_reason for word in words)
