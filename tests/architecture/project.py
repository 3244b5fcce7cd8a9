"""The project as it stands in the checkout: its folders and its set-up file."""

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Folders of code that are never part of the product.
BESIDE_THE_PRODUCT = frozenset({"bench", "tests", "tools"})


def code_folders() -> set[str]:
    """Name the top-level folders that are Python packages."""
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def product_packages() -> set[str]:
    """Name the packages that the wheel carries."""
    return code_folders() - BESIDE_THE_PRODUCT


def read_setup() -> configparser.ConfigParser:
    """Read setup.cfg."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup


def setup_lines(section: str, option: str) -> list[str]:
    """Read a value of setup.cfg that holds one item a line, without its comments."""
    lines = (line.strip() for line in read_setup()[section][option].splitlines())
    return [line for line in lines if line and not line.startswith("#")]
