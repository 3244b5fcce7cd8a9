"""Where a login may lead back to."""

import pytest

from web.return_paths import MAX_RETURN, is_return_path

GOOD = "/oidc/authorize?client_id=host&redirect_uri=https%3A%2F%2Fhost.example%2Fback&state=a.b~c"


EVENT = "/console/audit/events/01990000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "path",
    [
        "/console/audit",
        "/console/audit?action=role.&since=7d",
        EVENT,
        f"{EVENT}/proof",
        "/console/audit/reports/never-signed-in",
    ],
)
def test_the_record_may_be_led_back_to(path: str) -> None:
    assert is_return_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/console",
        "/console/audit/",
        "/console/audit/sign-out",
        "/console/audit/export?format=csv",
        "/console/audit/news",
        "/console/audit/events/..",
        f"{EVENT}/../../sign-out",
        "/console/audit/reports/../sign-out",
        "/console/audit//evil.example",
        "/console/audit@evil.example",
        "https://evil.example/console/audit",
    ],
)
def test_nothing_below_it_that_does_something_is(path: str) -> None:
    assert not is_return_path(path)


@pytest.mark.parametrize("path", [GOOD, "/oidc/authorize", "/oidc/authorize?"])
def test_the_authorization_endpoint_may_be_led_back_to(path: str) -> None:
    assert is_return_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/sso/settings",
        "https://evil.example/oidc/authorize",
        "//evil.example/oidc/authorize",
        "///evil.example/oidc/authorize",
        "/\\evil.example/oidc/authorize",
        "\\\\evil.example/oidc/authorize",
        "https:/oidc/authorize",
        "/oidc/authorize@evil.example",
        "/oidc/authorize.evil.example",
        "/oidc/authorize/../../saml",
        "/oidc/authorize/",
        "/oidc/./authorize",
        "/oidc%2fauthorize",
        "/%2fevil.example/oidc/authorize",
        "javascript:/oidc/authorize",
        "data:text/html,/oidc/authorize",
        " /oidc/authorize",
        "/oidc/authorize ",
        "/oidc/authorize\n",
        "/oidc/authorize?a=b\r\nSet-Cookie: c=d",
        "/oidc/authorize?a=\tb",
        "/oidc/authorize?a=\\b",
        "/oidc/authorize?a=b#c",
        "/oidc/authorize#c",
        '/oidc/authorize?a="',
        "/oidc/authorize?a=ä",
        "/oidc/authorize?a=\x00",
        "/OIDC/authorize",
        "/oidc/authorize;a",
    ],
)
def test_nothing_else_may_be_led_back_to(path: str) -> None:
    assert not is_return_path(path)


def test_a_path_may_not_be_of_any_length() -> None:
    longest = "/oidc/authorize?" + "a" * (MAX_RETURN - len("/oidc/authorize?"))

    assert is_return_path(longest)
    assert not is_return_path(longest + "a")
