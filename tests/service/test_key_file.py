"""The key file: followed while it is used, and changed whole."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import FileAccessError
from service.key_file import KeyFileWatch, add_key, drop_keys, fresh_key_id
from storage.errors import KeyRingError
from storage.secrets import load_key_ring, make_key_ring_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "secret.key"
    file.write_text(f"# ours\n{make_key_ring_text('k1')}", encoding="utf-8")
    file.chmod(0o600)
    return file


def test_a_fresh_key_comes_first_and_the_others_stay(path: Path) -> None:
    before = path.read_text(encoding="utf-8")
    sealed = load_key_ring(before).seal(b"secret", b"place")

    add_key(path, "k2")

    after = path.read_text(encoding="utf-8")
    assert after.endswith(before)
    ring = load_key_ring(after)
    assert ring.current_id == "k2"
    assert ring.open(sealed, b"place") == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret.key"]


def test_dropped_keys_go_and_comments_stay(path: Path) -> None:
    add_key(path, "k2")
    add_key(path, "k3")

    drop_keys(path, {"k1", "k2"})

    text = path.read_text(encoding="utf-8")
    assert load_key_ring(text).key_ids == {"k3"}
    assert "# ours" in text


def test_the_last_key_is_never_dropped(path: Path) -> None:
    before = path.read_text(encoding="utf-8")

    with pytest.raises(KeyRingError, match="holds no key"):
        drop_keys(path, {"k1"})

    assert path.read_text(encoding="utf-8") == before


def test_a_key_that_another_command_has_added_is_not_added_twice(path: Path) -> None:
    add_key(path, "k2")
    before = path.read_text(encoding="utf-8")

    with pytest.raises(KeyRingError, match="changed by another"):
        add_key(path, "k2")

    assert path.read_text(encoding="utf-8") == before


def test_commands_at_once_lose_no_key(path: Path) -> None:
    key_ids = [f"k{number}" for number in range(2, 42)]

    with ThreadPoolExecutor(8) as pool:
        for added in [pool.submit(add_key, path, key_id) for key_id in key_ids]:
            added.result()

    assert load_key_ring(path.read_text(encoding="utf-8")).key_ids == {"k1", *key_ids}


def test_what_a_command_that_was_cut_off_has_left_is_never_used(path: Path) -> None:
    left = path.with_name("secret.key.new")
    left.write_text("k2:half", encoding="utf-8")

    add_key(path, "k2")

    assert not left.exists()
    assert load_key_ring(path.read_text(encoding="utf-8")).current_id == "k2"


def test_a_link_to_the_file_stays_one(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(path)

    add_key(link, "k2")

    assert link.is_symlink()
    assert load_key_ring(path.read_text(encoding="utf-8")).current_id == "k2"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_file_stays_its_owner_s(path: Path) -> None:
    os.chown(path, 4711, 4712)

    add_key(path, "k2")

    assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="cannot be changed"):
        add_key(tmp_path / "none", "k2")


def test_whoever_watches_sees_each_change_once(path: Path) -> None:
    watch = KeyFileWatch(path)
    assert watch() is not None
    assert watch() is None

    add_key(path, "k2")

    ring = watch()
    assert ring is not None
    assert ring.current_id == "k2"
    assert watch() is None


@pytest.mark.parametrize("content", [b"\xff", b"no key", None])
def test_a_file_that_cannot_be_used_is_passed_over(path: Path, content: bytes | None) -> None:
    watch = KeyFileWatch(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert watch() is None

    path.write_text(make_key_ring_text("k5"), encoding="utf-8")
    ring = watch()
    assert ring is not None
    assert ring.current_id == "k5"


@pytest.mark.parametrize(
    ("known", "fresh"), [([], "k1"), (["k1"], "k2"), (["k9", "k10", "own"], "k11"), (["other", "k"], "k1")]
)
def test_a_fresh_id_is_above_all_that_there_were(known: list[str], fresh: str) -> None:
    assert fresh_key_id(known) == fresh
