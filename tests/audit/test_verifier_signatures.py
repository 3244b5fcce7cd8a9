"""The verifier's own Ed25519 and tree, against others, and the promise to need nothing but Python 3.9."""

import ast
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.tree import RightEdge, consistency_proof, inclusion_proof, layered_nodes, leaf_hash
from audit.verifier import (
    ORDER,
    Failure,
    P,
    climb,
    is_consistent,
    tree_root,
    verify_by_openssl,
    verify_ed25519,
)
from tests.audit.bundles import KEY, SOURCE

# Source: RFC 8032 section 7.1, tests 1, 2 and 3: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
PUBLIC = KEY.public_key().public_bytes_raw()
SIGNED = KEY.sign(b"message")
LIBRARIES = ast.parse(SOURCE, feature_version=(3, 9))

both = pytest.mark.parametrize(
    "verify",
    [
        verify_ed25519,
        pytest.param(
            verify_by_openssl,
            marks=pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command"),
        ),
    ],
)
Verify = Callable[[bytes, bytes, bytes], bool]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_of_the_standard_hold(public: str, message: str, signature: str) -> None:
    assert verify_ed25519(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@both
def test_a_signature_holds(verify: Verify) -> None:
    assert verify(PUBLIC, b"message", SIGNED)


@both
@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        (PUBLIC, b"massage", SIGNED),
        (PUBLIC, b"message", bytes(64)),
        (PUBLIC, b"message", SIGNED[:63]),
        (PUBLIC, b"message", SIGNED + b"\0"),
        (PUBLIC, b"message", b""),
        (PUBLIC[:31], b"message", SIGNED),
        (bytes([PUBLIC[0] ^ 1]) + PUBLIC[1:], b"message", SIGNED),
        # The same signature with the order of the group added: anybody could make a second one.
        (
            PUBLIC,
            b"message",
            SIGNED[:32] + (int.from_bytes(SIGNED[32:], "little") + ORDER).to_bytes(32, "little"),
        ),
        # A nonce that is no number of the field, one on no point of the curve, and minus zero.
        (PUBLIC, b"message", P.to_bytes(32, "little") + SIGNED[32:]),
        (PUBLIC, b"message", (2).to_bytes(32, "little") + SIGNED[32:]),
        (PUBLIC, b"message", (1 | 1 << 255).to_bytes(32, "little") + SIGNED[32:]),
    ],
)
def test_what_is_no_signature_is_refused(
    verify: Verify, public: bytes, message: bytes, signature: bytes
) -> None:
    assert not verify(public, message, signature)


@settings(max_examples=25, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=200),
    st.integers(min_value=0, max_value=511),
    st.booleans(),
)
def test_every_verdict_is_that_of_another_implementation(
    seed: bytes, message: bytes, bit: int, is_forged: bool
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    signature = bytearray(key.sign(message))
    if is_forged:
        signature[bit // 8] ^= 1 << bit % 8

    assert verify_ed25519(public, message, bytes(signature)) == is_signed(public, message, bytes(signature))


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def test_without_openssl_asking_for_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Failure, match="no openssl command"):
        verify_by_openssl(PUBLIC, b"message", SIGNED)


@given(st.integers(min_value=1, max_value=300), st.data())
def test_its_tree_is_that_of_the_service(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    old_size = data.draw(st.integers(min_value=1, max_value=size))
    nodes = layered_nodes(
        lambda level, index: tree_root(leaves[index << level : (index + 1) << level]), slice_of(leaves)
    )
    root, old_root = RightEdge().append(leaves).root(), RightEdge().append(leaves[:old_size]).root()
    growth = consistency_proof(old_size, size, nodes)

    assert tree_root(leaves) == root
    assert (
        climb(leaves[old_size - 1], old_size - 1, old_size, size, inclusion_proof(old_size - 1, size, nodes))
        == root
    )
    assert is_consistent(old_size, size, old_root, root, growth)
    assert not is_consistent(old_size, size, leaf_hash(b"forged"), root, growth)
    assert not is_consistent(old_size, size, old_root, leaf_hash(b"forged"), growth)
    assert not is_consistent(old_size, size, old_root, root, [*growth, root])
    assert not growth or not is_consistent(old_size, size, old_root, root, growth[1:])


def slice_of(leaves: list[bytes]) -> Callable[[int, int], list[bytes]]:
    return lambda first, stop: leaves[first:stop]


@pytest.mark.parametrize(("start", "stop"), [(1, 3), (0, 3), (3, 5), (0, 5), (4, 6)])
def test_nothing_leads_from_what_is_no_subtree(start: int, stop: int) -> None:
    assert climb(bytes(32), start, stop, 4, [bytes(32)] * 2) is None


def test_it_imports_the_standard_library_of_python_3_9_alone() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(LIBRARIES)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported <= sys.stdlib_module_names - {"tomllib"}
    assert "audit" not in imported


def test_it_reaches_no_network() -> None:
    text = SOURCE.decode()

    assert not any(f"import {name}" in text for name in ("socket", "urllib", "http", "ssl"))
