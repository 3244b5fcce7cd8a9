"""The providers of the tests themselves: what is missing is said in one line, what does not start is said why."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.certificates import today
from tests.idps import samlp_provider, simplesamlphp_provider
from tests.idps.provider import Provider, running_provider
from tests.idps.pysaml2_provider import Pysaml2Provider, require_pysaml2
from tests.idps.samlp_provider import require_samlp
from tests.idps.simplesamlphp_provider import require_simplesamlphp
from tests.idps.test_answers import asking

REQUIREMENTS = [require_pysaml2, require_samlp, require_simplesamlphp]


class Broken(Pysaml2Provider):
    """Its program says something and ends."""

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        return ["sh", "-c", "echo no such certificate; exit 3"], {}


@pytest.mark.parametrize("require", REQUIREMENTS)
def test_a_program_that_is_missing_is_a_reason_to_skip(
    require: Callable[[Mapping[str, str]], None], tmp_path: Path
) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"^no \w+ here: install [^\n]+$"):
        require({"PATH": str(tmp_path)})
    with pytest.raises(pytest.fail.Exception, match=r"^REQUIRE_IDPS=1, but no \w+ here: install [^\n]+$"):
        require({"PATH": str(tmp_path), "REQUIRE_IDPS": "1"})


def test_packages_that_are_missing_are_a_reason_to_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "php"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n", encoding="ascii")
        program.chmod(0o755)
    monkeypatch.setattr(samlp_provider, "PACKAGES", tmp_path / "none")
    monkeypatch.setattr(simplesamlphp_provider, "PAGES", tmp_path / "none")

    with pytest.raises(pytest.skip.Exception, match=r"^no npm package samlp here: "):
        require_samlp({"PATH": str(tmp_path)})
    with pytest.raises(pytest.skip.Exception, match=r"^no SimpleSAMLphp here: "):
        require_simplesamlphp({"PATH": str(tmp_path)})


def test_a_server_that_ends_at_once_tells_what_it_said(tmp_path: Path) -> None:
    with (
        contextlib.ExitStack() as stack,
        pytest.raises(pytest.fail.Exception, match="did not start: no such certificate"),
    ):
        stack.enter_context(running_provider(Broken, tmp_path, now=today()))


def test_a_provider_lets_nobody_in_who_does_not_know_the_password(idp: Provider) -> None:
    with Browser() as browser:
        page = browser.get(asking(idp))
        page = browser.submit(page, "username", username="ada", password="a guess")

    assert not any("SAMLResponse" in form.fields for form in page.forms)
