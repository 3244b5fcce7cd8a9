from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from provisioning.connection_settings import PRESETS as NAMES
from provisioning.logins import ConnectionSettings
from saml.attributes import PRESETS, attribute_map, read_person
from saml.errors import Denial, LoginDenied
from saml.login import Login, NameID
from tests.saml_forge.messages import MAIL_FORMAT, PERSISTENT

NOW = datetime(2026, 3, 2, tzinfo=UTC)
LOGIN = Login(
    assertion_id="_a",
    issuer="https://idp.example.org",
    name_id=NameID("anna@example.org", MAIL_FORMAT),
    session_index="",
    attributes={},
    authn_instant=NOW,
    session_ends_at=None,
    used_until=NOW,
    in_response_to="",
)


def said(**attributes: tuple[str, ...]) -> Login:
    return replace(LOGIN, attributes=attributes)


def settings(**given: Any) -> ConnectionSettings:  # noqa: ANN401 - any setting
    return ConnectionSettings(**given)


def test_there_is_a_map_for_each_preset() -> None:
    assert tuple(PRESETS) == NAMES


def test_setting_stands_in_the_place_of_the_preset() -> None:
    chosen = attribute_map(settings(preset="okta", attribute_mail="work", groups_separator="|"))

    assert chosen == replace(PRESETS["okta"], mail=("work",), groups_separator="|")


def test_mail_is_the_name_id_where_it_says_that_it_is_one() -> None:
    assert read_person(LOGIN, settings()).mail == "anna@example.org"
    assert read_person(replace(LOGIN, name_id=NameID("x1", PERSISTENT)), settings()).mail == ""
    assert read_person(said(email=("other@example.org",)), settings()).mail == "other@example.org"


def test_key_may_be_an_attribute() -> None:
    login = replace(said(uid=("7",)), name_id=None)

    person = read_person(login, settings(identity_key="uid", attribute_external_id="uid"))

    assert (person.key, person.external_id, person.mail) == ("7", "7", "")


@pytest.mark.parametrize(
    "given", [{"attribute_mail": "x"}, {"attribute_external_id": "x"}, {"identity_key": "x"}]
)
@pytest.mark.parametrize("values", [("a", "b"), ("a", "a")])
def test_two_values_of_what_identifies_are_refused(given: dict[str, str], values: tuple[str, ...]) -> None:
    with pytest.raises(LoginDenied) as denied:
        read_person(said(x=values), settings(**given))

    assert denied.value.reason == Denial.IDENTITY_AMBIGUOUS
    assert "attribute x has 2 values" in denied.value.words


def test_names_of_several_values_are_the_first_that_says_something() -> None:
    person = read_person(said(firstName=("", "Anna", "Maria")), settings(preset="okta"))

    assert (person.given_name, person.family_name) == ("Anna", "")


def test_groups_are_split_where_the_provider_joins_them() -> None:
    person = read_person(said(memberOf=("a; b;;", "c")), settings(preset="onelogin"))

    assert person.groups == ("a", "b", "c")


def test_group_name_that_holds_a_separator_is_whole_elsewhere() -> None:
    assert read_person(said(groups=("a;b", "")), settings(preset="okta")).groups == ("a;b",)


def test_groups_too_many_for_entra_are_withheld_and_not_none() -> None:
    link = {"http://schemas.microsoft.com/claims/groups.link": ("https://graph.example/",)}

    assert read_person(replace(LOGIN, attributes=link), settings(preset="entra")).groups_withheld
    assert not read_person(LOGIN, settings(preset="entra")).groups_withheld
