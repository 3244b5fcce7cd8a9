"""Random JSON that looks like SCIM, for tests that nothing but a SCIM error comes of it."""

from hypothesis import strategies as st

from directory.schema import CORE_USER, ENTERPRISE, GROUP, MEMBER, USER

TEXTS = st.sampled_from(
    ["", " ", "a", "b", "A", "work", "home", "True", "false", "x@example.com", "STRASSE", "straße"]
) | st.text(max_size=6)
SUB_NAMES = st.sampled_from(
    [
        "value",
        "type",
        "primary",
        "display",
        "$ref",
        "givenName",
        "familyName",
        "VALUE",
        "department",
        "manager",
        "manager.value",
        "streetAddress",
        "odd",
    ]
)
NAMES = st.sampled_from(
    [
        *USER.attributes,
        *GROUP.attributes,
        "schemas",
        "SCHEMAS",
        "USERNAME",
        "name.givenName",
        "emails.value",
        "odd",
        CORE_USER,
        f"{CORE_USER}:title",
        ENTERPRISE,
        ENTERPRISE.upper(),
        f"{ENTERPRISE}:department",
        f"{ENTERPRISE}:manager.value",
        MEMBER,
        f"{MEMBER}:seat",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SUB_NAMES | NAMES, inner, max_size=4),
    max_leaves=8,
)
TERMS = st.builds(
    "{} {} {}".format,
    st.sampled_from(["type", "value", "VALUE", "primary", "display", "odd", "userName"]),
    st.sampled_from(["eq", "EQ", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "is"]),
    st.sampled_from(['"a"', '"work"', '"True"', "true", "null", "5", '""', "x"]),
) | st.sampled_from(["type pr", "primary pr", "emails[type pr]"])
FILTERS = st.recursive(
    TERMS,
    lambda inner: (
        st.builds("{} and {}".format, inner, inner)
        | st.builds("{} or {}".format, inner, inner)
        | st.builds("not ({})".format, inner)
    ),
    max_leaves=3,
)
VALUE_PATHS = st.builds(
    "{}[{}]{}".format,
    st.sampled_from(["emails", "EMAILS", "roles", "members", "addresses", "name", "groups", "odd", ""]),
    FILTERS,
    st.sampled_from(["", ".value", ".VALUE", ".type", ".primary", ".odd", "x", "."]),
)
PATHS = NAMES | VALUE_PATHS | st.text(max_size=8)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "Replace", "REMOVE", "move"]), "value": VALUES}, optional={"path": PATHS}
)
PATCHES = st.builds(lambda operations: {"Operations": operations}, st.lists(OPERATIONS, max_size=3))
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=6)


def operation(op: str, path: str | None = None, **value: object) -> dict[str, object]:
    """One operation of a PATCH."""
    return {"op": op, **({} if path is None else {"path": path}), **value}
