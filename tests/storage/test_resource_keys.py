"""The rows by which a document is found."""

from directory.schema import ENTERPRISE, USER, Kind
from storage.resource_keys import (
    COLUMN_OF,
    ENTERPRISE_COLUMNS,
    ENTRY_COLUMN_OF,
    ENTRY_KEY_COLUMNS,
    STORED_ENTRIES,
    USER_KEY_COLUMNS,
    entry_rows,
    user_keys,
)
from storage.tables import scim_entry, scim_user


def test_every_key_column_has_its_attribute() -> None:
    assert {name for name in scim_user.c.keys() if name.endswith("_key")} == set(USER_KEY_COLUMNS)  # noqa: SIM118 - columns, not names
    assert {name for name in scim_entry.c.keys() if name.endswith("_key")} == set(ENTRY_KEY_COLUMNS)  # noqa: SIM118 - columns, not names
    assert set(ENTERPRISE_COLUMNS) == {
        name for path, name in COLUMN_OF.items() if path.startswith(ENTERPRISE)
    }


def test_every_attribute_that_clients_write_has_a_key() -> None:
    elsewhere = {"id", "userName", "active", "password", "meta", "groups"}
    wanted = set()
    for urn, attributes in {"": USER.attributes, ENTERPRISE: USER.extensions[ENTERPRISE]}.items():
        for name, attribute in attributes.items():
            text = f"{urn}:{name}" if urn else name
            if attribute.is_multi_valued:
                subs = {sub.name for sub in attribute.sub_attributes}
                assert name == "groups" or subs <= {*ENTRY_COLUMN_OF, "primary"}
                assert (name in STORED_ENTRIES) is (name != "groups")
            elif attribute.kind is Kind.COMPLEX and name not in elsewhere:
                wanted |= {f"{text}.{sub.name}" for sub in attribute.sub_attributes}
            elif name not in elsewhere:
                wanted.add(text)
    assert wanted == set(COLUMN_OF)


def test_keys_are_folded_unless_case_counts() -> None:
    document = {
        "externalId": "Cafe\u0301",
        "title": "Straße",
        "nickName": "",
        "locale": None,
        "timezone": 5,
        "displayName": ["no text"],
        "name": {"givenName": "ÉVA"},
        ENTERPRISE: {"manager": {"value": "M-1"}},
    }

    keys = dict(zip(USER_KEY_COLUMNS, user_keys(document), strict=True))

    assert {name: key for name, key in keys.items() if key is not None} == {
        "external_id_key": "Caf\u00e9",
        "title_key": "strasse",
        "nick_name_key": "",
        "timezone_key": "5",
        "name_given_name_key": "éva",
        "manager_value_key": "M-1",
    }


def test_a_document_of_another_form_has_no_keys() -> None:
    assert set(user_keys({"name": "Ada", ENTERPRISE: "x"})) == {None}
    assert list(entry_rows({"emails": "a@b.c", "roles": ["admin"], "ims": None, "groups": [{}]})) == []


def test_entries_keep_their_place_and_say_whether_they_are_primary() -> None:
    document = {
        "roles": [{"value": "A", "primary": "True"}, {}, {"value": None, "primary": "x", "shoe": 1}],
        "photos": [{"value": "https://A", "primary": False}],
    }

    rows = {(row[0], row[1]): row[2:] for row in entry_rows(document)}

    nothing = (None,) * (len(ENTRY_KEY_COLUMNS) - 1)
    assert rows == {
        ("roles", 0): (True, "a", *nothing),
        ("roles", 1): (None, None, *nothing),
        ("roles", 2): (None, None, *nothing),
        ("photos", 0): (False, "https://A", *nothing),
    }
