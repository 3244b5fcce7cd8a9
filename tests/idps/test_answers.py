"""What identity providers really send, at the pipeline: every way of signing and encrypting that each of them has."""

import base64
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from directory.ids import ConnectionId
from provisioning.logins import ConnectionSettings, Person
from saml.addresses import addresses
from saml.attributes import read_person
from saml.errors import Denial, LoginDenied
from saml.login import Expectations, Login, Trust
from saml.metadata import SPDescription, parse_metadata, render_metadata
from saml.pipeline import judge_response
from saml.requests import REQUEST, Envelope, Signer, message_id, redirect_url, render_authn_request
from tests.browser import Browser
from tests.certificates import today
from tests.idps.provider import ADA, Provider
from tests.saml_forge.keys import SP

# Nothing listens there: the form is looked at, and never sent.
OWN = addresses("http://127.0.0.1:9", ConnectionId("0190a000-0000-7000-8000-000000000001"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a login, and what it is to be held against."""

    form_value: str
    relay_state: str
    trust: Trust
    expectations: Expectations

    def refusal(self, **expected: str | datetime) -> tuple[Denial, str]:
        with pytest.raises(LoginDenied) as caught:
            self.judge(**expected)
        return caught.value.reason, caught.value.words

    def judge(self, **expected: str | datetime) -> Login:
        return judge_response(
            self.form_value,
            trust=self.trust,
            expectations=replace(self.expectations, **expected),  # type: ignore[arg-type]  # each by its name
        )


REQUEST_ID = message_id(b"at random, or not")


def asking(idp: Provider) -> str:
    """The address that asks the provider to sign somebody in; it knows us from our metadata."""
    now = today().replace(microsecond=0)
    known = parse_metadata(idp.metadata().encode(), now=now)
    described = SPDescription(OWN.entity_id, OWN.acs, OWN.slo, (SP.certificate,), True, False)
    idp.register(render_metadata(described).decode())
    envelope = Envelope(REQUEST_ID, now, OWN.entity_id, known.sso_url)
    return redirect_url(
        known.sso_url,
        render_authn_request(envelope, acs_url=OWN.acs),
        parameter=REQUEST,
        relay_state="opaque",
        signer=Signer(SP.private_pem, SP.certificate),
    )


def sign_in(idp: Provider) -> Answer:
    """Sign Ada in at the provider and catch what it has the browser post."""
    requested_at = today().replace(microsecond=0)
    known = parse_metadata(idp.metadata().encode(), now=requested_at)
    with Browser() as browser:
        page = browser.get(asking(idp))
        page = browser.submit(page, "username", username=ADA.name, password=ADA.password)
    form = page.form("SAMLResponse")
    assert form.action == OWN.acs
    return Answer(
        form.fields["SAMLResponse"],
        form.fields["RelayState"],
        Trust(known.certificates, (SP.private_pem,)),
        Expectations(
            idp_entity_id=known.entity_id,
            sp_entity_id=OWN.entity_id,
            acs_url=OWN.acs,
            request_id=REQUEST_ID,
            requested_at=requested_at,
            now=today(),
        ),
    )


@pytest.mark.parametrize(("sign_response", "sign_assertion"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("encrypt", [False, True])
def test_whatever_is_signed_tells_who_signed_in(
    idp: Provider, sign_response: bool, sign_assertion: bool, encrypt: bool
) -> None:
    idp.answer(sign_response=sign_response, sign_assertion=sign_assertion, encrypt=encrypt)

    answer = sign_in(idp)
    login = answer.judge()

    assert answer.relay_state == "opaque"
    assert (b":EncryptedAssertion" in base64.b64decode(answer.form_value)) is encrypt
    assert login.name_id is not None
    assert login.name_id.value == "ada"
    assert read_person(login, ConnectionSettings(preset=idp.preset)) == Person(
        key="ada", mail=ADA.mail, given_name="Ada", family_name="Adams", groups=("staff", "editors")
    )


@pytest.mark.parametrize("encrypt", [False, True])
def test_nothing_that_is_not_signed_tells_anything(idp: Provider, encrypt: bool) -> None:
    idp.answer(sign_response=False, sign_assertion=False, encrypt=encrypt)

    assert sign_in(idp).refusal()[0] is Denial.SIGNATURE_MISSING


def test_a_key_that_its_metadata_does_not_name_signs_nothing(idp: Provider) -> None:
    idp.use_keys(signing="second", published=["first"])

    answer = sign_in(idp)

    assert answer.refusal()[0] is Denial.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({"sp_entity_id": "https://other.example/metadata"}, Denial.AUDIENCE_MISMATCH),
        ({"acs_url": f"{OWN.acs}/"}, Denial.DESTINATION_MISMATCH),
        ({"idp_entity_id": "https://other.example/"}, Denial.ISSUER_MISMATCH),
        ({"request_id": "_another"}, Denial.IN_RESPONSE_TO_MISMATCH),
    ],
)
def test_what_is_meant_for_others_is_refused(idp: Provider, expected: dict[str, str], reason: Denial) -> None:
    assert sign_in(idp).refusal(**expected)[0] is reason


@pytest.mark.parametrize(("minutes", "reason"), [(-10, Denial.NOT_YET_VALID), (100, Denial.EXPIRED)])
def test_a_clock_that_is_off_is_found(idp: Provider, minutes: int, reason: Denial) -> None:
    assert sign_in(idp).refusal(now=today() + timedelta(minutes=minutes))[0] is reason
