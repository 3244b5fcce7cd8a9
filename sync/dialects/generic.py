"""Any other server: the common classes, every known way to disable a user, and an id attribute that must be named."""

from types import MappingProxyType
from typing import Final

from sync.dialects.activity import account_lock, permanent_lock, shadow_expire
from sync.dialects.openldap import CONTAINERS, OPENLDAP, PEOPLE
from sync.dialects.schema import Schema

GENERIC: Final = Schema(
    name="generic",
    id_attribute=None,
    user_classes=OPENLDAP.user_classes | {"person", "organizationalperson", "account", "user"},
    group_classes=OPENLDAP.group_classes | {"group", "ipausergroup"},
    container_classes=CONTAINERS | {"container", "nscontainer"},
    ignored_classes=MappingProxyType(
        {**OPENLDAP.ignored_classes, "computer": "computer", "contact": "contact"}
    ),
    names=MappingProxyType(
        {
            **PEOPLE,
            "department": ("departmentnumber", "department", "ou"),
            "employeeNumber": ("employeenumber", "employeeid"),
        }
    ),
    member_attributes=OPENLDAP.member_attributes,
    member_uid_attribute="memberuid",
    uid_attribute="uid",
    activity=MappingProxyType(
        {
            "nsaccountlock": account_lock,
            "logindisabled": account_lock,
            "pwdaccountlockedtime": permanent_lock,
            "shadowexpire": shadow_expire,
        }
    ),
)
