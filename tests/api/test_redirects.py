"""The addresses that an application may register."""

import pytest

from api.redirects import find_address_fault


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example/callback",
        "https://app.example:8443/callback?tenant=1",
        "http://localhost:5000/callback",
        "http://127.0.0.1/callback",
        "http://[::1]:8000/",
    ],
)
def test_a_plain_address_is_registered(url: str) -> None:
    assert find_address_fault(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/callback",
        "callback",
        "app.example",
        "https://",
        "https:///callback",
        "http://app.example/callback",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "ftp://app.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "com.example.app:/callback",
        "https://*.example/callback",
        "https://app.example/*",
        "https://app.example/#x",
        "https://app.example/#",
        "https://user@app.example/",
        "https://app.example:0/",
        "https://app.example:port/",
        "https://[::1/",
        "https://app.example/ä",
        "https://app.example/a b",
        "https://app.example/\n",
        "https://app.example\\@evil.example/",
        'https://app.example/"',
        f"https://app.example/{'x' * 2000}",
    ],
)
def test_an_address_that_could_mean_something_else_is_not(url: str) -> None:
    assert find_address_fault(url)


def test_what_we_send_to_is_never_this_machine() -> None:
    assert find_address_fault("http://localhost/backchannel", may_be_loopback=False)
    assert find_address_fault("https://app.example/backchannel", may_be_loopback=False) == ""
