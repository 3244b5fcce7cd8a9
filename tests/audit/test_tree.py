from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import TreeError
from audit.tree import (
    EMPTY_ROOT,
    TILE_LEVEL,
    Nodes,
    RightEdge,
    consistency_proof,
    cover,
    inclusion_proof,
    layered_nodes,
    leaf_hash,
    node_hash,
    right_edge,
    subtree_proof,
    verify_consistency,
    verify_inclusion,
)

# The leaves, roots and proofs that the test of Certificate Transparency's first implementation, and all since,
# hold in common (google/certificate-transparency, merkletree/merkle_tree_test.cc).
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
INCLUSION = {
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
CONSISTENCY = {
    (1, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): (
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
HASHES = [leaf_hash(leaf) for leaf in LEAVES]

sizes = st.integers(min_value=0, max_value=600)


def make_leaves(size: int) -> list[bytes]:
    return [sha256(b"%d" % number).digest() for number in range(size)]


# The oracle: section 2.1 of RFC 6962 as it stands there, over the whole list, with slices and recursion.
def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:half]) + naive_root(leaves[half:])).digest()


def naive_split(count: int) -> int:
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    half = naive_split(len(leaves))
    if index < half:
        return [*naive_path(index, leaves[:half]), naive_root(leaves[half:])]
    return [*naive_path(index - half, leaves[half:]), naive_root(leaves[:half])]


def naive_consistency(old_size: int, leaves: Sequence[bytes], *, is_known: bool = True) -> list[bytes]:
    if old_size == len(leaves):
        return [] if is_known else [naive_root(leaves)]
    half = naive_split(len(leaves))
    if old_size <= half:
        return [
            *naive_consistency(old_size, leaves[:half], is_known=is_known),
            naive_root(leaves[half:]),
        ]
    return [*naive_consistency(old_size - half, leaves[half:], is_known=False), naive_root(leaves[:half])]


def naive_nodes(leaves: Sequence[bytes]) -> Nodes:
    def give(level: int, index: int) -> bytes:
        block = leaves[index << level : (index + 1) << level]
        assert len(block) == 1 << level, "only complete subtrees are asked for"
        return naive_root(block)

    return give


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert RightEdge().root() == EMPTY_ROOT == sha256().digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert RightEdge().append(HASHES[:size]).root().hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(index: int, size: int) -> None:
    proof = inclusion_proof(index, size, naive_nodes(HASHES))

    assert tuple(node.hex() for node in proof) == INCLUSION[index, size]


@pytest.mark.parametrize(("old_size", "new_size"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(old_size: int, new_size: int) -> None:
    proof = consistency_proof(old_size, new_size, naive_nodes(HASHES))

    assert tuple(node.hex() for node in proof) == CONSISTENCY[old_size, new_size]


@given(sizes, st.data())
def test_appending_in_pieces_gives_the_root_and_nodes_of_the_oracle(size: int, data: st.DataObject) -> None:
    leaves = make_leaves(size)
    first = data.draw(st.integers(min_value=0, max_value=size))
    from_level = data.draw(st.integers(min_value=0, max_value=TILE_LEVEL + 1))

    edge = RightEdge().append(leaves[:first])
    edge, completed = edge.append_with_nodes(leaves[first:], from_level=from_level)

    nodes = naive_nodes(leaves)
    assert (edge.size, edge.root()) == (size, naive_root(leaves))
    assert edge == right_edge(size, nodes)
    assert all(nodes(one.level, one.index) == one.hash for one in completed)
    assert [(one.level, one.index) for one in completed] == sorted(
        (
            (level, index)
            for level in range(max(from_level, 1), 11)
            for index in range(size >> level)
            if (index + 1) << level > first
        ),
        key=lambda place: ((place[1] + 1) << place[0], place[0]),
    )


@given(st.integers(min_value=1, max_value=600), st.data())
def test_an_inclusion_proof_is_the_oracles_and_proves_its_leaf_alone(size: int, data: st.DataObject) -> None:
    leaves = make_leaves(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    other = data.draw(st.integers(min_value=-1, max_value=size))
    root = naive_root(leaves)

    proof = inclusion_proof(index, size, naive_nodes(leaves))

    assert list(proof) == naive_path(index, leaves)
    assert verify_inclusion(leaves[index], index, size, proof, root)
    assert verify_inclusion(leaves[index], other, size, proof, root) == (other == index)
    assert not verify_inclusion(leaf_hash(b"edited"), index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, proof, leaf_hash(b"signed anew"))
    assert not verify_inclusion(leaves[index], index, size, (*proof, root), root)
    assert not verify_inclusion(leaves[index], index, size, proof[:-1], root) or size == 1


@given(st.integers(min_value=0, max_value=600), st.data())
def test_a_consistency_proof_is_the_oracles_and_joins_its_two_trees_alone(
    new_size: int, data: st.DataObject
) -> None:
    leaves = make_leaves(new_size)
    old_size = data.draw(st.integers(min_value=0, max_value=new_size))
    old_root, new_root = naive_root(leaves[:old_size]), naive_root(leaves)

    proof = consistency_proof(old_size, new_size, naive_nodes(leaves))

    assert list(proof) == (naive_consistency(old_size, leaves) if old_size else [])
    assert verify_consistency(old_size, new_size, old_root, new_root, proof)
    forged = leaf_hash(b"signed anew")
    assert not verify_consistency(old_size, new_size, forged, new_root, proof)
    assert not verify_consistency(old_size, new_size, old_root, forged, proof) or (
        old_size == 0 and new_size > 0
    )
    assert not verify_consistency(old_size, new_size, old_root, new_root, (*proof, new_root))
    assert not proof or not verify_consistency(old_size, new_size, old_root, new_root, proof[:-1])
    for place in range(len(proof)):
        changed = [*proof[:place], forged, *proof[place + 1 :]]
        assert not verify_consistency(old_size, new_size, old_root, new_root, changed)


@given(
    st.integers(min_value=2, max_value=200),
    st.sampled_from(["edit", "delete", "swap", "cut"]),
    st.data(),
)
def test_no_tampered_log_continues_an_older_head(size: int, tampering: str, data: st.DataObject) -> None:
    leaves = make_leaves(size)
    old_size = data.draw(st.integers(min_value=2, max_value=size))
    place = data.draw(st.integers(min_value=0, max_value=old_size - 2))
    forged = list(leaves)
    if tampering == "edit":
        forged[place] = leaf_hash(b"edited")
    elif tampering == "delete":
        del forged[place]
    elif tampering == "swap":
        forged[place], forged[place + 1] = forged[place + 1], forged[place]
    else:
        del forged[old_size - 1 :]
        forged += [leaf_hash(b"put in its place")] * (size - len(forged))
    old_root, new_size = naive_root(leaves[:old_size]), len(forged)

    proofs = [consistency_proof(old_size, new_size, naive_nodes(forged))] if old_size <= new_size else [()]

    assert not any(
        verify_consistency(old_size, new_size, old_root, naive_root(forged), proof) for proof in proofs
    )


@pytest.mark.parametrize(
    ("old_size", "new_size"),
    [(-1, 4), (5, 4)],
)
def test_sizes_that_cannot_be_are_never_consistent(old_size: int, new_size: int) -> None:
    assert not verify_consistency(old_size, new_size, EMPTY_ROOT, EMPTY_ROOT, ())


def test_a_tree_without_leaves_is_consistent_with_itself_alone() -> None:
    assert verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, ())
    assert not verify_consistency(0, 0, EMPTY_ROOT, HASHES[0], ())
    assert not verify_consistency(0, 1, HASHES[0], HASHES[0], ())


def test_a_missing_consistency_proof_proves_nothing() -> None:
    root = RightEdge().append(HASHES[:2]).root()

    assert not verify_consistency(2, 4, root, root, ())


def test_hashes_of_another_length_are_refused() -> None:
    wide = HASHES[0] + HASHES[1]

    assert not verify_inclusion(HASHES[0], 0, 2, [wide], leaf_hash(b""))
    assert not verify_inclusion(wide, 0, 1, [], wide)
    assert not verify_consistency(1, 2, HASHES[0], wide, [wide])
    with pytest.raises(TreeError, match="32 bytes, not 64"):
        RightEdge().append([wide])
    with pytest.raises(TreeError, match="32 bytes, not 64"):
        RightEdge(1, (wide,))


@pytest.mark.parametrize(("size", "peaks"), [(-1, 1), (1, 0), (3, 1), (0, 1)])
def test_a_right_edge_has_a_peak_for_each_bit_of_its_size(size: int, peaks: int) -> None:
    with pytest.raises(TreeError, match="no right edge"):
        RightEdge(size, (EMPTY_ROOT,) * peaks)


@given(sizes, st.data())
def test_any_range_is_covered_by_complete_subtrees_in_order(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(min_value=0, max_value=size))

    covered = [
        leaf for level, index in cover(start, size) for leaf in range(index << level, (index + 1) << level)
    ]

    assert covered == list(range(start, size))


@given(st.integers(min_value=1, max_value=600), st.data())
def test_a_block_is_proven_as_the_subtree_it_is(size: int, data: st.DataObject) -> None:
    leaves = make_leaves(size)
    level = data.draw(st.integers(min_value=0, max_value=TILE_LEVEL))
    start = data.draw(st.integers(min_value=0, max_value=(size - 1) >> level)) << level
    stop = min(size, start + (1 << level))

    proof = subtree_proof(start, stop, size, naive_nodes(leaves))

    # A block to the left of a sibling of its size is proven as one leaf of a tree that counts in blocks.
    assert verify_inclusion(
        naive_root(leaves[start:stop]), start >> level, ((size - 1) >> level) + 1, proof, naive_root(leaves)
    )


@pytest.mark.parametrize(
    ("start", "stop", "size"),
    [(1, 1, 4), (3, 5, 4), (-1, 1, 4), (4, 5, 4), (0, 3, 4), (1, 3, 8), (0, 5, 7), (6, 7, 6)],
)
def test_what_is_no_subtree_has_no_proof(start: int, stop: int, size: int) -> None:
    with pytest.raises(TreeError):
        subtree_proof(start, stop, size, naive_nodes(HASHES))


@pytest.mark.parametrize(("old_size", "new_size"), [(3, 2), (-1, 2)])
def test_a_longer_tree_is_not_the_beginning_of_a_shorter(old_size: int, new_size: int) -> None:
    with pytest.raises(TreeError, match="not older"):
        consistency_proof(old_size, new_size, naive_nodes(HASHES))


def test_nodes_below_the_stored_ones_are_rebuilt_from_their_leaves() -> None:
    leaves = make_leaves(12 * 256 + 77)
    _, completed = RightEdge().append_with_nodes(leaves)
    stored = {(one.level, one.index): one.hash for one in completed}
    reads: list[tuple[int, int]] = []

    def read(first: int, stop: int) -> list[bytes]:
        reads.append((first, stop))
        return leaves[first:stop]

    nodes = layered_nodes(lambda level, index: stored[level, index], read)
    root = RightEdge().append(leaves).root()

    for index in range(len(leaves)):
        assert verify_inclusion(
            leaves[index], index, len(leaves), inclusion_proof(index, len(leaves), nodes), root
        )
    assert len(stored) < 25
    assert len(reads) <= 2 * 13
    with pytest.raises(TreeError, match="no complete subtree"):
        nodes(7, len(leaves) >> 7)


def test_a_leaf_is_never_taken_for_a_node() -> None:
    assert node_hash(HASHES[0], HASHES[1]) != leaf_hash(HASHES[0] + HASHES[1])
