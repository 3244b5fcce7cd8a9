from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from audit.checkpoint import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    VerifierKey,
    add_signature,
    key_hash,
    parse_checkpoint,
    parse_vkey,
    render_checkpoint,
    render_vkey,
    sign_note,
    split_note,
    verify_note,
)
from audit.errors import KeyFormatError, NoteError
from audit.tree import EMPTY_ROOT

# Source: golang.org/x/mod/sumdb/note, note_test.go (keys, text and signatures of TestSign and TestOpen).
PETER_SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_VKEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# Source: c2sp.org/signed-note, section Example.
FOO_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# Source: c2sp.org/tlog-cosignature, the example at its head.
WITNESSED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
WITNESS_LINE = (
    "— witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)

PETER = Ed25519PrivateKey.from_private_bytes(PETER_SEED)
PETER_PUBLIC = PETER.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_PUBLIC = OTHER.public_key().public_bytes_raw()
CHECKPOINT = Checkpoint("usher.example/audit/org_1", 7, EMPTY_ROOT)


def test_keys_and_signatures_are_those_of_go() -> None:
    assert render_vkey("PeterNeumann", PETER_PUBLIC) == PETER_VKEY
    assert key_hash("PeterNeumann", PETER_PUBLIC).hex() == "c74f20a3"
    assert sign_note(TEXT, "PeterNeumann", PETER_PUBLIC, PETER.sign) == f"{TEXT}\n{PETER_LINE}"


def test_a_second_key_signs_beside_the_first_and_replaces_only_itself() -> None:
    note = sign_note(TEXT, "PeterNeumann", PETER_PUBLIC, PETER.sign)

    both = add_signature(note, "newer", OTHER_PUBLIC, OTHER.sign)
    again = add_signature(both, "PeterNeumann", PETER_PUBLIC, PETER.sign)

    newer = render_vkey("newer", OTHER_PUBLIC)
    assert both.startswith(note)
    assert [one.name for one in verify_note(both, [PETER_VKEY, newer]).signers] == ["PeterNeumann", "newer"]
    assert [one.name for one in split_note(again)[1]] == ["newer", "PeterNeumann"]


@pytest.mark.parametrize(
    ("lines", "vkeys", "signers", "unknown"),
    [
        (PETER_LINE, [PETER_VKEY], ["PeterNeumann"], []),
        (PETER_LINE + ENOCH_LINE, [PETER_VKEY], ["PeterNeumann"], ["EnochRoot"]),
        (PETER_LINE + ENOCH_LINE, [PETER_VKEY, ENOCH_VKEY], ["PeterNeumann", "EnochRoot"], []),
        (PETER_LINE + PETER_LINE, [PETER_VKEY, ENOCH_VKEY], ["PeterNeumann"], []),
        (WITNESS_LINE + PETER_LINE, [PETER_VKEY], ["PeterNeumann"], ["witness.example.com/w1"]),
    ],
)
def test_signatures_of_unknown_keys_are_tolerated_and_do_not_count(
    lines: str, vkeys: list[str], signers: list[str], unknown: list[str]
) -> None:
    verified = verify_note(f"{TEXT}\n{lines}", vkeys)

    assert verified.text == TEXT
    assert [one.name for one in verified.signers] == signers
    assert [one.name for one in verified.unknown] == unknown


def test_the_example_of_the_specification_is_verified() -> None:
    assert verify_note(FOO_NOTE, [FOO_VKEY]).text == "This is an example message.\n"


def test_a_text_may_hold_empty_lines() -> None:
    text = "one\n\ntwo\n"

    note = sign_note(text, "PeterNeumann", PETER_PUBLIC, PETER.sign)

    assert verify_note(note, [PETER_VKEY]).text == text


@pytest.mark.parametrize("vkeys", [[], [ENOCH_VKEY], [FOO_VKEY, ENOCH_VKEY]])
def test_a_note_without_a_trusted_signature_is_refused_and_says_who_signed(vkeys: list[str]) -> None:
    with pytest.raises(NoteError, match="only by PeterNeumann"):
        verify_note(f"{TEXT}\n{PETER_LINE}", vkeys)


def test_one_wrong_signature_by_a_trusted_key_refuses_the_whole_note() -> None:
    peter, enoch = PETER_LINE.replace("x08go/ZJ", "x08go/ZK"), ENOCH_LINE

    with pytest.raises(NoteError, match="'PeterNeumann' is wrong"):
        verify_note(f"{TEXT}\n{enoch}{peter}", [PETER_VKEY, ENOCH_VKEY])


def test_a_signature_of_another_length_is_wrong() -> None:
    line = f"— PeterNeumann {b64encode(bytes.fromhex('c74f20a3') + b'short').decode()}\n"

    with pytest.raises(NoteError, match="is wrong"):
        verify_note(f"{TEXT}\n{line}", [PETER_VKEY])


@given(st.integers(min_value=0, max_value=len(TEXT) - 1), st.characters(codec="utf-8"))
def test_every_edit_of_the_text_is_found(place: int, character: str) -> None:
    edited = TEXT[:place] + character + TEXT[place + 1 :]

    assume(edited != TEXT)

    with pytest.raises(NoteError):
        verify_note(f"{edited}\n{PETER_LINE}", [PETER_VKEY])


def test_a_note_signed_anew_by_another_key_of_the_same_name_is_refused() -> None:
    note = sign_note(TEXT, "PeterNeumann", OTHER_PUBLIC, OTHER.sign)

    with pytest.raises(NoteError, match="not signed by a trusted key"):
        verify_note(note, [PETER_VKEY])


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE[:-1]}",
        f"{TEXT}\n{PETER_LINE[1:]}",
        f"{TEXT}\n{PETER_LINE}trailing\n",
        f"{TEXT}\n— PeterNeumann\n",
        f"{TEXT}\n— Peter+Neumann x08go/ZJ\n",
        f"{TEXT}\n— Peter\u2003Neumann x08go/ZJ\n",
        f"{TEXT}\n— PeterNeumann x08g\n",
        f"{TEXT}\n— PeterNeumann x08go/ZJkuB=\n",
        f"{TEXT}\n— PeterNeumann x08go/ZJkuB\n",
        f"{TEXT}\n— PeterNeumann é08go/ZJ\n",
        f"{TEXT}\t\n\n{PETER_LINE}",
        f"{TEXT}\ud800\n\n{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE * (MAX_SIGNATURES + 1)}",
        f"{'x' * MAX_NOTE_BYTES}\n\n{PETER_LINE}",
    ],
)
def test_malformed_notes_are_refused(note: str) -> None:
    with pytest.raises(NoteError, match="note"):
        verify_note(note, [PETER_VKEY])


@pytest.mark.parametrize("text", ["", "\n", "abc", "a\rb\n", "\udc80\n"])
def test_what_is_no_text_of_a_note_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, "PeterNeumann", PETER_PUBLIC, PETER.sign)


def test_a_signature_by_another_private_key_is_never_given_away() -> None:
    with pytest.raises(NoteError, match="does not hold the private key"):
        sign_note(TEXT, "PeterNeumann", PETER_PUBLIC, OTHER.sign)


@pytest.mark.parametrize("vkey", [PETER_VKEY, ENOCH_VKEY, FOO_VKEY])
def test_a_verifier_key_is_read_and_written_alike(vkey: str) -> None:
    key = parse_vkey(vkey)

    assert render_vkey(key.name, key.public_key) == vkey
    assert key.hash.hex() == vkey.split("+")[1]


# As TestNewVerifier of Go does it: every piece of a key, and every key with one character changed.
def test_every_piece_of_a_verifier_key_is_refused() -> None:
    pieces = {
        PETER_VKEY[first:last]
        for first in range(len(PETER_VKEY))
        for last in range(first, len(PETER_VKEY) + 1)
    } - {PETER_VKEY}

    for piece in pieces:
        with pytest.raises(KeyFormatError):
            parse_vkey(piece)


@pytest.mark.parametrize("place", range(len(PETER_VKEY)))
def test_a_verifier_key_with_one_wrong_character_is_refused(place: int) -> None:
    wrong = PETER_VKEY[:place] + chr(ord(PETER_VKEY[place]) + 1) + PETER_VKEY[place + 1 :]

    with pytest.raises(KeyFormatError):
        parse_vkey(wrong)


@pytest.mark.parametrize(
    ("vkey", "told"),
    [
        # Of the wrong length, and of an unknown kind, both with the hash that belongs to them.
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", "no verifier key"),
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "not one of Ed25519"),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "no verifier key"),
        (f"PeterNeumann+c74f20a3+{b64encode(bytes([1]) + bytes(33)).decode()}", "32 bytes"),
    ],
)
def test_verifier_keys_of_another_form_are_refused(vkey: str, told: str) -> None:
    with pytest.raises(KeyFormatError, match=told):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\x01b", "a\u00a0b", "a\nb"])
def test_a_name_that_would_break_the_line_is_refused(name: str) -> None:
    with pytest.raises(KeyFormatError, match="without spaces"):
        render_vkey(name, PETER_PUBLIC)


@given(st.integers(min_value=0, max_value=10**18), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_read_as_it_was_written(size: int, root: bytes) -> None:
    checkpoint = replace(CHECKPOINT, size=size, root=root)

    assert parse_checkpoint(render_checkpoint(checkpoint)) == checkpoint


def test_the_example_checkpoint_and_its_extensions_are_read() -> None:
    text, signatures = split_note(WITNESSED + WITNESS_LINE)

    assert parse_checkpoint(text) == parse_checkpoint(f"{text}an extension\n")
    assert parse_checkpoint(text).size == 20852163
    assert [one.name for one in signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n7\n",
        f"log\n7\n{b64encode(EMPTY_ROOT).decode()}",
        f"\n7\n{b64encode(EMPTY_ROOT).decode()}\n",
        f"log\n07\n{b64encode(EMPTY_ROOT).decode()}\n",
        f"log\n-7\n{b64encode(EMPTY_ROOT).decode()}\n",
        f"log\n٧\n{b64encode(EMPTY_ROOT).decode()}\n",
        f"log\n{'9' * 20}\n{b64encode(EMPTY_ROOT).decode()}\n",
        f"log\n7\n{b64encode(EMPTY_ROOT[:31]).decode()}\n",
        "log\n7\n!\n",
        f"log\n7\n{b64encode(EMPTY_ROOT).decode()}\n\nlate\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "checkpoint",
    [
        replace(CHECKPOINT, origin=""),
        replace(CHECKPOINT, origin="a\nb"),
        replace(CHECKPOINT, size=-1),
        replace(CHECKPOINT, root=b"short"),
    ],
)
def test_what_is_no_checkpoint_is_not_written(checkpoint: Checkpoint) -> None:
    with pytest.raises(NoteError, match="no checkpoint"):
        render_checkpoint(checkpoint)


def test_a_verified_key_names_its_hash() -> None:
    assert VerifierKey("PeterNeumann", PETER_PUBLIC).hash == bytes.fromhex("c74f20a3")
