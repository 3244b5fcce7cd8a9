"""Each provider's attributes, as the files of tests/payloads/saml_presets have them, tell the same person."""

import pytest

from provisioning.logins import ConnectionSettings
from saml.attributes import PRESETS, read_person
from saml.errors import Denial, LoginDenied
from saml.login import Login
from saml.pipeline import judge_response
from tests.payloads.saml_presets.make import Preset, make
from tests.saml_forge.accepted import expectations, form_value, trust
from tests.saml_forge.cases import ATTACKS, CLASSES, attacks_of
from tests.saml_forge.cases import PRESETS as FOLDER

CASES = list(make())
by_file = pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
AMBIGUOUS = [(name, one) for name in CLASSES for one in attacks_of(name) if one.at == "attributes"]


def proven(case: Preset) -> Login:
    value = form_value(case.file, (FOLDER / case.file).read_bytes())
    return judge_response(value, trust=trust({}), expectations=expectations(case.settings))


@by_file
def test_preset_tells_the_person(case: Preset) -> None:
    assert read_person(proven(case), ConnectionSettings.read(case.settings)) == case.person


def test_every_preset_has_a_file() -> None:
    assert {case.settings["preset"] for case in CASES} == PRESETS.keys() - {"generic"}


def test_whole_targeted_id_is_read() -> None:
    case = next(case for case in CASES if case.name == "shibboleth")

    assert proven(case).attributes["urn:oid:1.3.6.1.4.1.5923.1.1.1.10"] == ("8c1f0e2a",)


@pytest.mark.parametrize(
    ("name", "file"), [(name, one.file) for name, one in AMBIGUOUS], ids=[one.file for _, one in AMBIGUOUS]
)
def test_two_values_of_what_identifies_are_refused(name: str, file: str) -> None:
    value = form_value(file, (ATTACKS / name / file).read_bytes())
    login = judge_response(value, trust=trust({}), expectations=expectations({}))

    with pytest.raises(LoginDenied) as denied:
        read_person(login, ConnectionSettings.read({"preset": "okta"}))

    assert denied.value.reason is Denial.IDENTITY_AMBIGUOUS
