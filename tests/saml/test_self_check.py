from inspect import signature

import pytest

from saml.libraries import ImportsOfLibraries, LibrariesError, library_versions
from saml.self_check import check_saml_libraries


def test_check_gives_the_versions_that_are_installed() -> None:
    versions = check_saml_libraries()

    assert versions == library_versions()
    assert str(versions).startswith("lxml 6.")


@pytest.mark.parametrize("signed", ["<x", "<x/>", "<x ID='_x'><y/></x>"])
def test_check_fails_where_a_good_signature_is_refused(signed: str) -> None:
    with pytest.raises(LibrariesError) as failed:
        check_saml_libraries(signed=signed)

    assert "refuse a good signature" in str(failed.value)
    assert failed.value.versions.lxml in str(failed.value)
    assert f"xmlsec {failed.value.versions.xmlsec}" in str(failed.value)


def test_check_fails_where_a_changed_text_is_taken() -> None:
    good = signature(check_saml_libraries).parameters["signed"].default

    with pytest.raises(LibrariesError, match="take a changed text"):
        check_saml_libraries(tampered=good)


def test_import_that_fails_names_the_versions() -> None:
    with pytest.raises(LibrariesError) as failed, ImportsOfLibraries():
        raise RuntimeError("lxml & xmlsec libxml2 library version mismatch")

    assert "version mismatch" in str(failed.value)
    assert "lxml 6." in str(failed.value)
    assert "xmlsec 1." in str(failed.value)


def test_import_that_is_broken_off_is_not_explained() -> None:
    with pytest.raises(KeyboardInterrupt), ImportsOfLibraries():
        raise KeyboardInterrupt


def test_library_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])

    assert library_versions().xmlsec == "none"
