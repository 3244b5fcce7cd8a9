"""The fixtures as files: what the generators make, and the table in the documents."""

from pathlib import Path

from tests.payloads.saml_accepted import make as accepted_files
from tests.payloads.saml_presets import make as preset_files
from tests.saml_forge.cases import ACCEPTED, ATTACKS, CLASSES, PRESETS, attacks_of

TABLE = Path(__file__).parents[2] / "docs" / "guides" / "saml-attacks.md"


def made_files() -> dict[Path, bytes]:
    """Every file that is kept, as its generator makes it."""
    files = {
        ATTACKS / name / attack.file: attack.content
        for name in CLASSES
        for attack in attacks_of(name)
        if attack.is_kept
    }
    files |= {ACCEPTED / each.file: each.content for each in accepted_files.make()}
    return files | {PRESETS / each.file: each.content for each in preset_files.make()}


def kept_files() -> set[Path]:
    """Every file that is there, but for the generators and what they are told by."""
    ends = {".xml", ".b64", ".txt"}
    return {
        path for folder in (ATTACKS, ACCEPTED, PRESETS) for path in folder.rglob("*") if path.suffix in ends
    }


def table_rows() -> list[str]:
    """The rows of the table of attacks, in order. What says nothing of its own in a name is told by its origin."""
    return [
        f"| {number} | {name} | `{attack.file}` | `{attack.reason}` | {_cell(attack.origin)} |"
        for number, name in enumerate(CLASSES, 1)
        for attack in attacks_of(name)
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
