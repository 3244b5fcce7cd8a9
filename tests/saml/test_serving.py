"""How the endpoints read a request, and whom they take for one sender."""

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from saml.errors import Denial, LoginDenied
from saml.serving import network_of, plain, read_form, request_id_of

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_a_sender_is_an_address_or_a_network_of_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_id_of_a_request_follows_from_its_key() -> None:
    assert request_id_of("a") == request_id_of("a")
    assert request_id_of("a") != request_id_of("b")
    assert len(request_id_of("a")) == 41


def test_of_a_header_what_is_printed_is_kept() -> None:
    assert plain("a\x00b\nÄ c" + "x" * 100, 7) == "ab c"


def test_a_body_in_pieces_is_read_where_the_server_says_that_it_ends() -> None:
    environ = EnvironBuilder(method="POST", data=b"a=b", content_type=FORM).get_environ()
    del environ["CONTENT_LENGTH"]

    assert read_form(Request(environ)) == {}
    assert read_form(Request({**environ, "wsgi.input_terminated": True})) == {"a": "b"}


def test_a_body_that_is_cut_off_is_refused() -> None:
    environ = EnvironBuilder(method="POST", data=b"a=b", content_type=FORM).get_environ()

    with pytest.raises(LoginDenied) as caught:
        read_form(Request({**environ, "CONTENT_LENGTH": "99"}))

    assert caught.value.reason is Denial.MALFORMED
