"""The cookies of signing in, as a browser is told to keep them."""

import pytest
from flask import Request, Response
from werkzeug.test import EnvironBuilder

from web.cookies import Cookies, make_value

VALUE = make_value(bytes(range(32)))


def asked_with(cookie: str) -> Request:
    return Request(EnvironBuilder(headers=[("Cookie", cookie)]).get_environ())


def test_over_https_cookies_are_bound_to_the_host() -> None:
    cookies, response = Cookies("https://usher.example"), Response()

    cookies.set_session(response, VALUE)
    cookies.set_login(response, VALUE, seconds=60)
    cookies.set_test(response, VALUE, seconds=60)

    session, login, test = response.headers.getlist("Set-Cookie")
    assert session == f"__Host-usher_session={VALUE}; Secure; HttpOnly; Path=/; SameSite=Lax"
    assert login.endswith("Max-Age=60; Secure; HttpOnly; Path=/; SameSite=None")
    assert test.endswith("Max-Age=60; Secure; HttpOnly; Path=/; SameSite=Lax")


def test_over_http_they_are_such_as_a_browser_takes_there() -> None:
    cookies, response = Cookies("http://127.0.0.1:8000"), Response()

    cookies.set_login(response, VALUE, seconds=60)

    assert response.headers["Set-Cookie"].startswith(f"usher_login={VALUE};")
    assert response.headers["Set-Cookie"].endswith("Max-Age=60; HttpOnly; Path=/; SameSite=Lax")


def test_each_cookie_is_read_by_its_own_name() -> None:
    cookies = Cookies("https://usher.example")
    other = VALUE.replace("A", "B")
    request = asked_with(
        f"__Host-usher_session={VALUE}; __Host-usher_login={other}; __Host-usher_test={VALUE}; usher_session=x"
    )

    assert (cookies.session(request), cookies.login(request), cookies.test(request)) == (VALUE, other, VALUE)


@pytest.mark.parametrize("value", ["", "short", VALUE + "A", VALUE[:-1] + "=", VALUE[:-1] + "%00"])
def test_what_cannot_be_of_ours_is_no_cookie(value: str) -> None:
    assert Cookies("http://usher.example").session(asked_with(f"usher_session={value}")) == ""


def test_a_session_is_taken_out_of_the_browser() -> None:
    response = Response()

    Cookies("https://usher.example").clear_session(response)

    assert response.headers["Set-Cookie"].startswith("__Host-usher_session=;")
    assert "Max-Age=0" in response.headers["Set-Cookie"]


def test_a_value_needs_all_of_its_randomness() -> None:
    with pytest.raises(ValueError, match="32 octets, not 31"):
        make_value(bytes(31))


def test_the_records_cookie_goes_with_no_request_from_elsewhere() -> None:
    cookies, response = Cookies("https://usher.example"), Response()

    cookies.set_audit(response, VALUE, seconds=3600)
    cookies.set_audit(response, "", seconds=3600)

    given, taken = response.headers.getlist("Set-Cookie")
    assert given.endswith("Max-Age=3600; Secure; HttpOnly; Path=/; SameSite=Strict")
    assert "Max-Age=0;" in taken
    assert cookies.audit(asked_with(f"__Host-usher_audit={VALUE}")) == VALUE
    assert cookies.audit(asked_with(f"__Host-usher_session={VALUE}")) == ""
