"""389 Directory Server, and what is built on it: Red Hat Directory Server, FreeIPA."""

from types import MappingProxyType
from typing import Final

from sync.dialects.activity import account_lock, shadow_expire
from sync.dialects.openldap import CONTAINERS, OPENLDAP, PEOPLE
from sync.dialects.schema import Schema

DS389: Final = Schema(
    name="ds389",
    id_attribute="nsuniqueid",
    user_classes=OPENLDAP.user_classes | {"nsperson", "nsaccount"},
    group_classes=OPENLDAP.group_classes | {"ipausergroup"},
    container_classes=CONTAINERS | {"nscontainer"},
    # A role, a view or a template of the server holds nobody.
    ignored_classes=MappingProxyType(
        {
            **OPENLDAP.ignored_classes,
            "nsroledefinition": "role",
            "costemplate": "template",
            "nstombstone": "deleted",
        }
    ),
    names=PEOPLE,
    member_attributes=OPENLDAP.member_attributes,
    member_uid_attribute="memberuid",
    uid_attribute="uid",
    activity=MappingProxyType({"nsaccountlock": account_lock, "shadowexpire": shadow_expire}),
)
