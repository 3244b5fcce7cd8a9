"""Lists of packages agree with the tree, names are ours alone, and the lock agrees with the ranges."""

import re
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.project import (
    BESIDE_THE_PRODUCT,
    ROOT,
    code_folders,
    product_packages,
    read_setup,
    setup_lines,
)

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", re.MULTILINE)


def test_wheel_lists_a_pair_for_each_package() -> None:
    listed = setup_lines("options.packages.find", "include")

    assert sorted(listed) == sorted(entry for name in product_packages() for entry in (name, f"{name}.*"))


def test_mypy_checks_every_folder_of_code() -> None:
    listed = {name.strip() for name in read_setup()["mypy"]["packages"].split(",")}

    assert listed == code_folders()


def test_coverage_measures_every_package_and_the_tests() -> None:
    assert set(setup_lines("coverage:run", "source")) == product_packages() | {"tests"}


@pytest.mark.parametrize(
    ("section", "option"),
    [("importlinter", "root_packages"), ("importlinter:contract:acyclic", "ancestors")],
)
def test_contracts_name_every_package(section: str, option: str) -> None:
    assert set(setup_lines(section, option)) == product_packages()


def test_contract_on_sql_names_every_package_but_storage() -> None:
    assert set(setup_lines("importlinter:contract:sql", "source_modules")) == product_packages() - {"storage"}


def test_each_package_stands_on_one_floor() -> None:
    floors = setup_lines("importlinter:contract:floors", "layers")
    listed = [name.strip() for floor in floors for name in floor.split("|")]

    assert sorted(listed) == sorted(product_packages())


def test_package_names_are_ours_alone() -> None:
    owners = packages_distributions()

    assert {name: set(owners.get(name, ())) for name in product_packages()} == {
        name: {"usher-sync"} for name in product_packages()
    }


def test_no_package_hides_the_standard_library() -> None:
    assert not code_folders() & sys.stdlib_module_names


def test_folders_beside_the_product_are_not_in_the_wheel() -> None:
    owners = packages_distributions()

    assert not {name for name in BESIDE_THE_PRODUCT if "usher-sync" in owners.get(name, ())}


def test_lock_holds_each_dependency_within_its_range() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {canonicalize_name(name): version for name, version in LOCKED.findall(lock)}
    setup = read_setup()
    extras = [
        line
        for extra in setup["options.extras_require"]
        for line in setup_lines("options.extras_require", extra)
    ]

    for requirement in map(Requirement, setup_lines("options", "install_requires") + extras):
        version = locked.get(canonicalize_name(requirement.name), "nothing")
        assert version != "nothing", f"{requirement} is not locked; run make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}; run make lock"


@pytest.mark.parametrize("name", ["requirements.lock", "uv.lock.txt"])
def test_lock_names_hashes_and_no_index(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", lock)

    assert "://" not in lock
    assert "index-url" not in lock
    assert all("--hash=sha256:" in entry for entry in entries)


def test_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", text, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE))

    # A step of `make test`, not a command of its own.
    assert targets - explained == {"test-services"}
