"""OpenLDAP, and servers that keep people and groups as RFC 2798, RFC 4519 and RFC 2307 describe them."""

from types import MappingProxyType
from typing import Final

from sync.dialects.activity import permanent_lock, shadow_expire
from sync.dialects.schema import Schema

PEOPLE: Final = MappingProxyType(
    {
        "user_name": ("uid", "mail"),
        "display_name": ("displayname", "cn"),
        "given_name": ("givenname",),
        "family_name": ("sn",),
        "mails": ("mail",),
        "group_name": ("cn",),
        "title": ("title",),
        "department": ("departmentnumber", "ou"),
        "employeeNumber": ("employeenumber",),
        "userType": ("employeetype",),
        "organization": ("o",),
        "locality": ("l",),
        "preferredLanguage": ("preferredlanguage",),
    }
)
CONTAINERS: Final = frozenset(
    {"organization", "organizationalunit", "domain", "dcobject", "locality", "country"}
)

OPENLDAP: Final = Schema(
    name="openldap",
    id_attribute="entryuuid",
    user_classes=frozenset({"inetorgperson", "posixaccount"}),
    group_classes=frozenset({"groupofnames", "groupofuniquenames", "groupofmembers", "posixgroup"}),
    container_classes=CONTAINERS,
    ignored_classes=MappingProxyType(
        {
            "pwdpolicy": "policy",
            "device": "device",
            "iphost": "device",
            "groupofurls": "dynamic_group",
            "alias": "alias",
            "referral": "referral",
            "applicationprocess": "service",
            "organizationalrole": "service",
        }
    ),
    names=PEOPLE,
    member_attributes=("member", "uniquemember"),
    member_uid_attribute="memberuid",
    uid_attribute="uid",
    activity=MappingProxyType({"pwdaccountlockedtime": permanent_lock, "shadowexpire": shadow_expire}),
)
