"""The log's key file: lines as the Go note package writes them, changed whole or not at all."""

from pathlib import Path

import pytest

from audit.checkpoint import sign_note, verify_note
from service.errors import FileAccessError
from service.log_keys import (
    LogKeyError,
    add_log_key,
    load_log_keys,
    log_name,
    make_log_key,
    parse_log_keys,
    retire_log_keys,
)
from service.settings import Settings, load_settings

# Source: golang.org/x/mod/sumdb/note, the example of its documentation.
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def settings_in(folder: Path) -> Settings:
    return load_settings({"USHER_DATA": str(folder)})


def test_a_key_of_the_go_package_is_read() -> None:
    keys = parse_log_keys(f"# a comment\n\n{GO_PRIVATE}\n")

    assert keys.vkeys == (GO_PUBLIC,)
    (signer,) = keys.signers.values()
    note = sign_note("text\n", signer.name, signer.public_key, signer.sign)
    assert verify_note(note, [GO_PUBLIC]).text == "text\n"


def test_a_public_key_is_trusted_and_signs_nothing() -> None:
    assert parse_log_keys(GO_PUBLIC) == parse_log_keys(f"{GO_PUBLIC}\n")
    assert parse_log_keys(GO_PUBLIC).signers == {}


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        GO_PRIVATE[:-4],
        GO_PRIVATE.replace("c74f20a3", "c74f20a4"),
        GO_PRIVATE.replace("AYEK", "AoEK"),
        GO_PRIVATE.replace("AYEK", "A?EK"),
        GO_PUBLIC[:-4],
    ],
)
def test_a_line_that_is_no_key_is_named_and_not_repeated(line: str) -> None:
    with pytest.raises(LogKeyError, match="line 2 is no key") as raised:
        parse_log_keys(f"{GO_PRIVATE}\n{line}\n")
    assert line not in str(raised.value)


def test_a_file_that_is_not_there_holds_no_key(tmp_path: Path) -> None:
    assert load_log_keys(settings_in(tmp_path)).vkeys == ()


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.log_key_file.write_bytes(b"\xff")
    with pytest.raises(LogKeyError, match="is no text"):
        load_log_keys(settings)
    settings.log_key_file.unlink()
    settings.log_key_file.mkdir()
    with pytest.raises(FileAccessError, match="cannot be read"):
        load_log_keys(settings)
    with pytest.raises(FileAccessError, match="cannot be changed"):
        add_log_key(settings.log_key_file, "usher")


def test_a_key_comes_behind_the_others_and_goes_to_its_public_half(tmp_path: Path) -> None:
    path = settings_in(tmp_path).log_key_file
    path.write_text(f"# ours\n{GO_PRIVATE}\n{make_log_key('usher')}")
    before = parse_log_keys(path.read_text())

    fresh = add_log_key(path, "usher")
    retire_log_keys(path, frozenset([*before.signers]))

    keys = parse_log_keys(path.read_text())
    assert keys.vkeys == (*before.vkeys, fresh.vkey)
    assert list(keys.signers) == [fresh.key_id]
    assert path.read_text().startswith("# ours\n")
    retire_log_keys(path, frozenset())
    assert list(parse_log_keys(path.read_text()).signers) == [fresh.key_id]


def test_a_log_is_called_after_the_address_of_its_service() -> None:
    assert log_name(Settings()) == "usher"
    assert log_name(Settings(public_url="https://id.example.org:8443/usher")) == "id.example.org"
