"""The 389 Directory Server of the tests is found or asked for in plain words, and leaves nothing behind."""

import os
import socket
from pathlib import Path

import pytest

from tests.ds389 import DS389, DS389Factory, DS389UnavailableError, ds389_factory, require_programs


def test_without_the_server_a_test_is_skipped_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="no ns-slapd here: install Debian's package"):
        require_programs({"DS389_PATH": str(tmp_path)})


def test_without_the_server_a_test_fails_where_it_is_required(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_389=1, but no ns-slapd here"):
        require_programs({"DS389_PATH": str(tmp_path), "REQUIRE_389": "1"})


@pytest.mark.ds389
def test_entries_that_cannot_be_loaded_are_told(make_ds389: DS389Factory) -> None:
    with pytest.raises(DS389UnavailableError, match="1 were skipped"):
        make_ds389("dn: ou=lost,ou=nowhere,dc=example,dc=org\nobjectClass: organizationalUnit\nou: lost\n\n")


@pytest.mark.ds389
def test_a_server_that_does_not_start_says_why(make_ds389: DS389Factory) -> None:
    prepared = make_ds389.prepare()
    (prepared.folder / "config" / "dse.ldif").write_text("dn: nothing\n\n", encoding="utf-8")

    with pytest.raises(DS389UnavailableError, match="ns-slapd did not start"):
        prepared.start()
    with pytest.raises(DS389UnavailableError, match="ldif2db failed"):
        prepared.load("")


@pytest.mark.ds389
def test_the_server_is_gone_with_its_folder_when_a_test_has_failed(tmp_path: Path) -> None:
    made: list[DS389] = []

    with pytest.raises(ZeroDivisionError):
        fail_beside(made, tmp_path)

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", made[0].port))


def fail_beside(made: list[DS389], folder: Path) -> None:
    with ds389_factory(folder, os.environ) as factory:
        made.append(factory())
        raise ZeroDivisionError
