"""The documents agree with the tree."""

import re

from tests.architecture.project import ROOT, product_packages, read_setup

# A row of the table of packages begins with a cell such as `directory/`.
PACKAGE_ROW = re.compile(r"^\|\s*`([a-z_]+)/`\s*\|", re.MULTILINE)
HEADING = re.compile(r"^## ([0-9][0-9.]*)", re.MULTILINE)


def test_architecture_table_names_every_package_once() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    assert sorted(PACKAGE_ROW.findall(text)) == sorted(product_packages())


def test_changelog_speaks_of_this_version() -> None:
    headings = HEADING.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))

    assert read_setup()["metadata"]["version"] in headings
