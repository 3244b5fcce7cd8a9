"""Write the SAML fixtures and the table of attacks anew: `python -m tools.saml_fixtures` when a generator changed."""

from tests.saml_forge.tree import TABLE, kept_files, made_files, table_rows


def main() -> None:
    """Write what the generators make, and remove what they no longer do."""
    files = made_files()
    for path in kept_files() - files.keys():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)
    head = TABLE.read_text(encoding="utf-8").partition("\n| 1 |")[0]
    TABLE.write_text("\n".join((head, *table_rows(), "")), encoding="utf-8")


if __name__ == "__main__":
    main()
