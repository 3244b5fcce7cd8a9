"""Where requests came from: kept apart from the events, found by the exact address, gone with whom it is of."""

import re

import pytest

from provisioning.log_addresses import normal_address
from tests.journeys.pushes import USER, add_scim, provider
from tests.journeys.shell import Shell
from tests.journeys.sso_scene import OWNER, Scene
from tests.journeys.test_sso_recovery import CODE, arm

HOME, OFFICE = "203.0.113.7", "2001:db8::7"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" ::ffff:203.0.113.7 ", "203.0.113.7"),
        ("2001:0DB8:0:0::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("localhost", ""),
        ("", ""),
    ],
)
def test_an_address_has_one_form(written: str, address: str) -> None:
    assert normal_address(written) == address


def test_logins_are_found_by_where_they_came_from(either_scene: Scene) -> None:
    ours = either_scene.ours
    shell = Shell(either_scene.folder, either_scene.database_url)
    shell.environ["USHER_ORGANISATION"] = "Acme"
    arm(ours)
    for _ in range(2):
        ours.sign_in(either_scene.browser(HOME))
    ours.sign_in(either_scene.browser("2001:DB8:0::7"))
    ours.sign_in(either_scene.browser(HOME), audience="https://elsewhere.example")
    either_scene.browser(HOME).post("/sso/recovery", {"code": "abcd-abcd-abcd-abcd"})
    either_scene.browser(HOME).post("/sso/recovery", {"code": CODE})
    recorded = ours.news()

    found = shell.json("audit", "list", "--address", HOME)
    logins = shell.json("audit", "list", "--address", HOME, "--action", "sso.login")
    (elsewhere,) = shell.json("audit", "list", "--address", OFFICE, "--action", "sso.login")

    assert {row["action"] for row in found} >= {"sso.login", "sso.login_denied", "breakglass.used"}
    assert len(logins) == 2
    # One reference for each person, however often they come.
    assert len({row["body"]["context"]["address"] for row in logins}) == 1
    assert f"from     {OFFICE}" in shell.answer("audit", "show", elsewhere["id"])
    assert all(HOME not in str(body) for body in recorded)
    (opened,) = [row for row in found if row["action"] == "breakglass.used"]
    with ours.administration.read() as reader:
        (own,) = reader.address_references(HOME, ours.member(OWNER))
    assert opened["body"]["context"]["address"] == f"pii:{own}"
    assert shell.json("audit", "list", "--address", HOME, "--action", "member.created") != []
    assert "nothing came from the address 192.0.2.200" in shell.fail(
        1, "audit", "list", "--address", "192.0.2.200"
    )
    assert "'home' is no address" in shell.fail(1, "audit", "list", "--address", "home")


def test_a_reading_by_address_does_not_say_the_address(shell: Shell) -> None:
    shell.set_up()
    shell.environ["USHER_TRUSTED_PROXIES"] = "127.0.0.0/8"
    base_url, token = add_scim(shell)
    with provider(shell, base_url, token) as idp:
        idp.ask("POST", "Users", {"schemas": [USER], "userName": "ada"}, headers={"X-Forwarded-For": HOME})
        idp.ask("POST", "Users", {"schemas": [USER], "userName": "bob"}, headers={"X-Forwarded-For": OFFICE})
    shell.mark()

    (made,) = shell.json("audit", "list", "--address", HOME, "--action", "user.created")

    assert made["text"].endswith("added ada to the directory.")
    (read,) = shell.new_events()
    assert HOME not in str(read)
    assert re.search(r"address=[0-9a-f-]{36}", str(read))


def test_addresses_go_with_whom_they_are_of(scene: Scene) -> None:
    ours = scene.ours
    shell = Shell(scene.folder)
    shell.environ["USHER_ORGANISATION"] = "Acme"
    for mail in ("anna@example.org", "ben@example.org"):
        ours.sign_in(scene.browser(HOME), mail, values={"email": (mail,)})
    (first, second) = shell.json("audit", "list", "--address", HOME, "--action", "sso.login")

    shell.answer("audit", "erase", "anna@example.org", "--even-present", "--yes")

    (left,) = shell.json("audit", "list", "--address", HOME, "--action", "sso.login")
    assert left["id"] == first["id"]
    assert "from     [erased]" in shell.answer("audit", "show", second["id"])
