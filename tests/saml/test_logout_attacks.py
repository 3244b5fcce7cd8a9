"""Every hostile logout message of docs/guides/saml-attacks.md is refused for its reason, and takes no memory."""

import tracemalloc

import pytest

from saml.errors import LoginDenied
from saml.logout import (
    MAX_QUERY,
    LogoutExpectations,
    LogoutMessage,
    LogoutRequest,
    read_posted,
    read_redirected,
)
from tests.saml_forge.accepted import form_value, trust
from tests.saml_forge.cases import ATTACKS, Attack, attacks_of
from tests.saml_forge.logout import LOGOUT, logout_request, signed_query
from tests.saml_forge.messages import IDP_ENTITY, NOW, SESSION_INDEX, SLO, SUBJECT
from tests.saml_forge.signing import sign

CASES = [case for case in attacks_of("logout") if case.at == "logout"]
BOMBS = [case for case in CASES if "bomb" in case.file]
EXPECTED = LogoutExpectations(IDP_ENTITY, SLO, NOW)
# They inflate to 12 MB and to 30 MB.
MOST_OCTETS = 5_000_000


def read(case: Attack) -> LogoutMessage:
    content = (ATTACKS / "logout" / case.file).read_bytes() if case.is_kept else case.content
    if case.file.endswith(".txt"):
        return read_redirected(content.decode(), trust=trust({}), expectations=EXPECTED)
    parameter = "SAMLResponse" if "-response-" in case.file else "SAMLRequest"
    return read_posted(parameter, form_value(case.file, content), trust=trust({}), expectations=EXPECTED)


@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_forged_logout_is_refused_for_its_reason(case: Attack) -> None:
    with pytest.raises(LoginDenied) as denied:
        read(case)

    assert denied.value.reason == case.reason


@pytest.mark.parametrize("case", BOMBS, ids=[case.file for case in BOMBS])
def test_bomb_is_not_inflated(case: Attack) -> None:
    assert len(case.content) <= MAX_QUERY
    tracemalloc.start()

    with pytest.raises(LoginDenied):
        read(case)

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < MOST_OCTETS


def test_genuine_logout_of_either_binding_is_read() -> None:
    """What the attacks are made of is good: they are refused for what was done to it."""
    posted = form_value("x.xml", sign(logout_request(), LOGOUT).encode())
    query = signed_query(logout_request(), relay_state="key")

    by_post = read_posted("SAMLRequest", posted, trust=trust({}), expectations=EXPECTED)
    by_redirect = read_redirected(query, trust=trust({}), expectations=EXPECTED)

    assert isinstance(by_post, LogoutRequest)
    assert by_post == by_redirect
    assert (by_post.name_id.value, by_post.session_indexes) == (SUBJECT, (SESSION_INDEX,))
