"""An export is opened in its folder only, and told apart from one that changed or does not match its checksum."""

import gzip
import os
from hashlib import sha256
from pathlib import Path

import pytest

from sync.errors import ExportFileError
from sync.export_file import Export, open_export

CONTENT = b"dn: a=1\nb: c\n\n" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "exports"
    place.mkdir()
    (place / "people.ldif").write_bytes(CONTENT)
    (tmp_path / "secret.ldif").write_bytes(b"dn: secret=1\n\n")
    return place


def drained(export: Export) -> bytes:
    content = b""
    while piece := export.stream.read(5000):
        content += piece
    return content


def doubt_after(folder: Path, *, checksum_required: bool = False, name: str = "people.ldif") -> str | None:
    with open_export(folder, name) as export:
        drained(export)
        return export.doubt(checksum_required=checksum_required)


def test_an_export_is_read_to_its_end_without_doubt(folder: Path) -> None:
    with open_export(folder, "people.ldif") as export:
        assert drained(export) == CONTENT
        assert export.doubt(checksum_required=False) is None
        assert not export.is_vouched()
    export.close()


def test_a_packed_export_is_unpacked(folder: Path) -> None:
    (folder / "people.ldif.gz").write_bytes(gzip.compress(CONTENT))

    with open_export(folder, "people.ldif.gz") as export:
        assert drained(export) == CONTENT
        assert export.doubt(checksum_required=False) is None


@pytest.mark.parametrize(
    "name",
    [
        "../secret.ldif",
        "/etc/passwd",
        "sub/people.ldif",
        "sub\\people.ldif",
        "..",
        "",
        ".ldif",
        "people.txt",
        "people.ldif.sha256",
        "people.ldif\0",
        "people.ldif\n",
    ],
)
def test_a_name_with_path_parts_or_another_ending_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ExportFileError, match="without its folder") as caught:
        open_export(folder, name)

    assert caught.value.name == name


def test_an_export_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ExportFileError, match=r"no export 'other\.ldif'"):
        open_export(folder, "other.ldif")


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "link.ldif").symlink_to(folder.parent / "secret.ldif")

    with pytest.raises(ExportFileError, match="leads out"):
        open_export(folder, "link.ldif")


def test_a_checksum_by_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "people.ldif.sha256").symlink_to(folder.parent / "secret.ldif")

    with pytest.raises(ExportFileError, match="leads out"):
        open_export(folder, "people.ldif")


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "latest.ldif").symlink_to("people.ldif")

    assert doubt_after(folder, name="latest.ldif") is None


def test_a_folder_and_a_pipe_are_refused_without_waiting(folder: Path) -> None:
    (folder / "sub.ldif").mkdir()
    os.mkfifo(folder / "pipe.ldif")

    for name in ("sub.ldif", "pipe.ldif"):
        with pytest.raises(ExportFileError, match="no regular file"):
            open_export(folder, name)


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "a.ldif").symlink_to("b.ldif")
    (folder / "b.ldif").symlink_to("a.ldif")

    with pytest.raises(ExportFileError, match="cannot be opened"):
        open_export(folder, "a.ldif")


def test_a_file_that_may_not_be_read_is_named_with_the_reason(folder: Path) -> None:
    name = "x" * 300 + ".ldif"

    with pytest.raises(ExportFileError, match="cannot be opened"):
        open_export(folder, name)


@pytest.mark.parametrize("form", ["{digest}", "{digest}  people.ldif\n", "SHA256 (people.ldif) = {digest}\n"])
def test_a_matching_checksum_vouches_for_the_export(folder: Path, form: str) -> None:
    digest = sha256(CONTENT).hexdigest().upper()
    (folder / "people.ldif.sha256").write_text(form.format(digest=digest))

    with open_export(folder, "people.ldif") as export:
        export.stream.read(10)
        assert export.is_vouched()
        assert export.doubt(checksum_required=True) is None


def test_a_checksum_is_that_of_the_packed_file(folder: Path) -> None:
    packed = gzip.compress(CONTENT)
    (folder / "people.ldif.gz").write_bytes(packed)
    (folder / "people.ldif.gz.sha256").write_text(sha256(packed).hexdigest())

    assert doubt_after(folder, checksum_required=True, name="people.ldif.gz") is None


@pytest.mark.parametrize("said", ["0" * 64, "", "no digest at all", "a" * 65])
def test_a_checksum_that_does_not_match_is_a_doubt(folder: Path, said: str) -> None:
    (folder / "people.ldif.sha256").write_text(said)

    assert doubt_after(folder) == "the content does not match 'people.ldif.sha256'"


def test_a_required_checksum_that_is_missing_is_a_doubt(folder: Path) -> None:
    assert doubt_after(folder, checksum_required=True) == "'people.ldif.sha256' is required and missing"


def test_a_file_written_to_while_it_is_read_is_a_doubt(folder: Path) -> None:
    with open_export(folder, "people.ldif") as export:
        drained(export)
        with (folder / "people.ldif").open("ab") as file:
            file.write(b"dn: late=1\n\n")

        assert export.doubt(checksum_required=False) == "the file changed while it was read"


def test_a_file_of_the_same_size_with_another_time_is_a_doubt(folder: Path) -> None:
    with open_export(folder, "people.ldif") as export:
        drained(export)
        os.utime(folder / "people.ldif", (1, 1))

        assert export.doubt(checksum_required=False) == "the file changed while it was read"


def test_a_file_replaced_while_it_is_read_is_a_doubt(folder: Path) -> None:
    with open_export(folder, "people.ldif") as export:
        drained(export)
        (folder / "new.ldif").write_bytes(CONTENT)
        (folder / "new.ldif").replace(folder / "people.ldif")

        assert export.doubt(checksum_required=False) == "the file changed while it was read"


def test_a_file_removed_while_it_is_read_is_a_doubt(folder: Path) -> None:
    with open_export(folder, "people.ldif") as export:
        drained(export)
        (folder / "people.ldif").unlink()

        assert export.doubt(checksum_required=False) == "the file was removed while it was read"
