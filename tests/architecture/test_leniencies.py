"""The document on leniencies agrees with the code and with the payloads."""

import re

from scim.profiles import EXPLANATIONS, PROFILES, Leniency
from tests.architecture.project import ROOT

DOCUMENT = ROOT / "docs" / "guides" / "leniencies.md"
COLUMNS = ("generic", "entra", "okta", "strict")
# A row begins with a slug; the last cell links to the payload.
ROW = re.compile(
    r"^\| `([a-z_]+)` \| (.+?) \| ((?:(?:yes|no) \| ){4})(.+?) \| \[.+\]\((.+)\) \|$", re.MULTILINE
)


def rows() -> list[tuple[str, str, list[str], str, str]]:
    found = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    return [(slug, text, marks.split(" | ")[:4], source, link) for slug, text, marks, source, link in found]


def test_document_has_every_leniency_as_the_code_explains_it() -> None:
    said = [(slug, text, source) for slug, text, _, source, _ in rows()]

    assert said == [(one.value, EXPLANATIONS[one].text, EXPLANATIONS[one].source) for one in Leniency]


def test_document_grants_what_the_profiles_grant() -> None:
    assert set(COLUMNS) == set(PROFILES)
    for slug, _, marks, _, _ in rows():
        allowed = [PROFILES[name].allows(Leniency(slug)) for name in COLUMNS]
        assert [mark == "yes" for mark in marks] == allowed, slug


def test_document_links_to_a_payload_for_each_leniency() -> None:
    for slug, _, _, _, link in rows():
        path = (DOCUMENT.parent / link).resolve()
        assert f'"leniency": "{slug}"' in path.read_text(encoding="utf-8")
