"""Nobody gets in as somebody whose name theirs only looks like: keys are exact, and addresses are plain."""

import pytest

from directory.ids import MemberId
from provisioning.identity import is_plain_mail
from tests.builders import World, on_sqlite_only
from tests.provisioning.signing import Provider, own_domain
from tests.saml_forge.cases import Attack, attacks_of
from tests.saml_forge.messages import VICTIM

LITERAL = [case for case in attacks_of("identity_text") if case.literal]
ODD_SPACES = ("\u00a0", "\u2003", "\u3000", "\u0085", "\x1c", "\x0b")


@pytest.fixture
def provider(world: World) -> Provider:
    """A connection over which the victim has signed in."""
    own_domain(world)
    provider = Provider(world, jit=True)
    assert provider.sign_in(VICTIM, VICTIM).denial is None
    return provider


def victim(provider: Provider) -> MemberId:
    with provider.world.read() as reader:
        link = reader.sso.link(provider.connection_id, VICTIM)
    assert link is not None
    return link.member_id


@on_sqlite_only
@pytest.mark.parametrize("case", LITERAL, ids=[case.file for case in LITERAL])
def test_name_that_looks_like_another_is_another_person(provider: Provider, case: Attack) -> None:
    text = case.literal
    before = victim(provider)

    for mail in (text, ""):
        outcome = provider.sign_in(text, mail)
        assert outcome.session is None or outcome.member_id != before

    assert victim(provider) == before


@on_sqlite_only
@pytest.mark.parametrize("space", ODD_SPACES, ids=[f"U+{ord(space):04X}" for space in ODD_SPACES])
def test_space_that_xml_does_not_know_belongs_to_the_name(provider: Provider, space: str) -> None:
    for text in (VICTIM + space, space + VICTIM):
        outcome = provider.sign_in(text, text)
        assert outcome.session is None or outcome.member_id != victim(provider)


def test_space_around_a_name_is_not_part_of_it(provider: Provider) -> None:
    outcome = provider.sign_in(f" \t{VICTIM}\r\n", VICTIM)

    assert (outcome.denial, outcome.member_id) == (None, victim(provider))


@pytest.mark.parametrize(
    "mail",
    [
        "mi\u212ae@example.org",
        "mik\u00e9@example.org".replace("\u00e9", "e\u0301"),
        "\uff4dike@example.org",
        "mi\u200bke@x.org",
    ],
    ids=["kelvin-sign", "decomposed", "full-width", "zero-width"],
)
def test_address_that_another_is_compared_equal_to_is_not_plain(mail: str) -> None:
    assert not is_plain_mail(mail)


@pytest.mark.parametrize("mail", ["mike@example.org", "Mike@Example.ORG", "mik\u00e9@example.org"])
def test_address_in_its_one_form_is_plain(mail: str) -> None:
    assert is_plain_mail(mail)
