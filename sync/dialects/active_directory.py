"""Active Directory, of Windows and of Samba.

Computers and trusts are kept as users there and are left out, and so are contacts and deleted entries. The
accounts that come with a domain (Administrator, Guest, krbtgt: isCriticalSystemObject) are no people either
and are left out unless the settings ask for them; groups that come with it (Domain Users) are groups like any
other.
"""

from types import MappingProxyType
from typing import Final

from sync.dialects.activity import account_control, account_expires, read_integer
from sync.dialects.schema import Schema
from sync.entries import Attributes

# INTERDOMAIN_TRUST_ACCOUNT, WORKSTATION_TRUST_ACCOUNT, SERVER_TRUST_ACCOUNT. Source: [MS-ADTS] section
# 2.2.16.
_TRUST_FLAGS: Final = 0x0800 | 0x1000 | 0x2000
_LARGEST_RID: Final = 0xFFFF_FFFF


def _ignored_user(attributes: Attributes) -> str | None:
    if attributes.get("isdeleted", (b"",))[0].upper() == b"TRUE":
        return "deleted"
    flags = read_integer(attributes.get("useraccountcontrol", (b"",))[0])
    return "computer" if flags is not None and flags & _TRUST_FLAGS else None


def _ignored_built_in(attributes: Attributes) -> str | None:
    return "built_in" if attributes.get("iscriticalsystemobject", (b"",))[0].upper() == b"TRUE" else None


def primary_group(attributes: Attributes) -> bytes | None:
    """The security identifier of the user's primary group: the user's own with the last part replaced.

    That group does not list the user among its members. Source: [MS-ADTS] section 3.1.1.4.5.
    """
    own = attributes.get("objectsid", (b"",))[0]
    rid = read_integer(attributes.get("primarygroupid", (b"",))[0])
    # A revision byte, a count of parts, six bytes of authority, then parts of four bytes each.
    if rid is None or not 0 < rid <= _LARGEST_RID or len(own) < 12 or len(own) != 8 + 4 * own[1]:
        return None
    return own[:-4] + rid.to_bytes(4, "little")


ACTIVE_DIRECTORY: Final = Schema(
    name="active_directory",
    id_attribute="objectguid",
    user_classes=frozenset({"user", "inetorgperson"}),
    group_classes=frozenset({"group"}),
    container_classes=frozenset(
        {
            "organizationalunit",
            "container",
            "domain",
            "domaindns",
            "builtindomain",
            "lostandfound",
            "msds-quotacontainer",
        }
    ),
    ignored_classes=MappingProxyType(
        {
            "computer": "computer",
            "contact": "contact",
            "foreignsecurityprincipal": "foreign",
            "trusteddomain": "computer",
        }
    ),
    names=MappingProxyType(
        {
            "user_name": ("samaccountname", "userprincipalname"),
            "display_name": ("displayname", "cn"),
            "given_name": ("givenname",),
            "family_name": ("sn",),
            "mails": ("mail", "proxyaddresses"),
            "group_name": ("cn", "samaccountname"),
            "title": ("title",),
            "department": ("department",),
            "division": ("division",),
            "employeeNumber": ("employeenumber", "employeeid"),
            "userType": ("employeetype",),
            "organization": ("company",),
            "locality": ("l",),
            "preferredLanguage": ("preferredlanguage",),
        }
    ),
    member_attributes=("member",),
    activity=MappingProxyType({"useraccountcontrol": account_control, "accountexpires": account_expires}),
    required_for_activity="useraccountcontrol",
    security_id_attribute="objectsid",
    ignored_user=_ignored_user,
    ignored_built_in=_ignored_built_in,
    primary_group=primary_group,
    primary_group_attributes=("objectsid", "primarygroupid"),
    # Computers are users as well there, and often more than the people.
    user_filter="(&(objectCategory=person)(objectClass=user))",
)
