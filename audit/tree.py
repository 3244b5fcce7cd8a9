"""The Merkle tree of the log: hashes, the right edge, proofs. Knows hashes only, not events or storage.

Inner nodes are addressed by (level, index): node (l, i) is the root of the complete subtree over the leaves from
i * 2^l up to, not including, (i + 1) * 2^l; level 0 are the leaf hashes. Incomplete subtrees have no address and
are put together from complete ones.

Source: RFC 6962 section 2.1; RFC 9162 sections 2.1.3.2 and 2.1.4.2 for what a verifier does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from audit.errors import TreeError

HASH_BYTES = 32

EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves. Source: RFC 6962 section 2.1."""

TILE_LEVEL = 8
"""From this level on nodes are worth storing; what is below is rebuilt from at most 256 leaves."""

_LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"
_KEPT_TILES = 8
_NO_LEVEL = 64

Nodes = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree (level, index)."""

Leaves = Callable[[int, int], Sequence[bytes]]
"""Gives the leaf hashes from the first index up to, not including, the second; fewer at the end of the log."""


@dataclass(frozen=True, slots=True)
class Node:
    """A complete subtree and its hash."""

    level: int
    index: int
    hash: bytes


def leaf_hash(body: bytes) -> bytes:
    return sha256(_LEAF_PREFIX + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE_PREFIX + left + right).digest()


@dataclass(frozen=True, slots=True)
class RightEdge:
    """All that is needed to append: the number of leaves and the roots of the complete subtrees, largest first.

    There is one peak for each bit that is set in `size`.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            message = f"{len(self.peaks)} peaks are no right edge of {self.size} leaves"
            raise TreeError(message)
        _check_hashes(self.peaks)

    def append(self, leaf_hashes: Iterable[bytes]) -> "RightEdge":
        """Take further leaves at the right end."""
        edge, _ = self.append_with_nodes(leaf_hashes, from_level=_NO_LEVEL)
        return edge

    def append_with_nodes(
        self, leaf_hashes: Iterable[bytes], *, from_level: int = TILE_LEVEL
    ) -> tuple["RightEdge", tuple[Node, ...]]:
        """Take further leaves, and name the subtrees from `from_level` on that they completed."""
        peaks = list(self.peaks)
        size = self.size
        completed: list[Node] = []
        for leaf in leaf_hashes:
            if len(leaf) != HASH_BYTES:
                _check_hashes((leaf,))
            node = leaf
            level = 0
            # As in a binary counter: each set bit at the end is a peak of the same size to the left.
            while size >> level & 1:
                node = sha256(_NODE_PREFIX + peaks.pop() + node).digest()
                level += 1
                if level >= from_level:
                    completed.append(Node(level, size >> level, node))
            peaks.append(node)
            size += 1
        return RightEdge(size, tuple(peaks)), tuple(completed)

    def root(self) -> bytes:
        """The tree's head: the peaks folded from the right."""
        return _fold(self.peaks) if self.peaks else EMPTY_ROOT


def layered_nodes(stored: Nodes, leaves: Leaves) -> Nodes:
    """Give every node from the nodes stored at `TILE_LEVEL` and above and from the leaf hashes.

    Keeps the last few tiles, so that proofs of neighbours read their leaves once; make a new one when the log has
    grown.
    """
    tiles: dict[int, list[Sequence[bytes]]] = {}

    def give_node(level: int, index: int) -> bytes:
        if level >= TILE_LEVEL:
            return stored(level, index)
        tile = index >> (TILE_LEVEL - level)
        if tile not in tiles:
            if len(tiles) == _KEPT_TILES:
                del tiles[next(iter(tiles))]
            tiles[tile] = _build_levels(leaves(tile << TILE_LEVEL, (tile + 1) << TILE_LEVEL))
        levels = tiles[tile]
        place = index - (tile << (TILE_LEVEL - level))
        if place >= len(levels[level]):
            message = f"the log has no complete subtree {index} at level {level}"
            raise TreeError(message)
        return levels[level][place]

    return give_node


def cover(start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Name the fewest complete subtrees, from left to right, that hold exactly the leaves of a range."""
    while start < stop:
        level = (stop - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def right_edge(size: int, nodes: Nodes) -> RightEdge:
    """The right edge of the first `size` leaves."""
    return RightEdge(size, tuple(nodes(level, index) for level, index in cover(0, size)))


def inclusion_proof(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Prove that leaf `index` is in the tree of the first `size` leaves, from the leaf upwards.

    Source: RFC 6962 section 2.1.1.
    """
    return subtree_proof(index, index + 1, size, nodes)


def subtree_proof(start: int, stop: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Prove that the leaves from `start` up to `stop` are in the tree, as one of its subtrees.

    The range must be a subtree of the tree of `size` leaves: one leaf, an aligned block of 2^n leaves, or what
    remains of such a block at the right edge.
    """
    if not 0 <= start < stop <= size:
        message = f"no leaves {start} to {stop} in a tree of {size}"
        raise TreeError(message)
    proof: list[bytes] = []
    first, last = 0, size
    while (first, last) != (start, stop):
        middle = first + _split(last - first) if last - first > 1 else last
        if stop <= middle < last:
            proof.append(_subtree_root(middle, last, nodes))
            last = middle
        elif first < middle <= start:
            proof.append(_subtree_root(first, middle, nodes))
            first = middle
        else:
            message = f"leaves {start} to {stop} are no subtree of a tree of {size}"
            raise TreeError(message)
    return tuple(reversed(proof))


def consistency_proof(old_size: int, new_size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """Prove that the first `old_size` leaves of the tree of `new_size` are the older tree.

    Empty when nothing is to be proven: both sizes are equal, or the older tree has no leaves.
    Source: RFC 6962 section 2.1.2.
    """
    if not 0 <= old_size <= new_size:
        message = f"a tree of {old_size} leaves is not older than one of {new_size}"
        raise TreeError(message)
    if old_size in {0, new_size}:
        return ()
    proof: list[bytes] = []
    first, last = 0, new_size
    while last != old_size:
        middle = first + _split(last - first)
        if old_size <= middle:
            proof.append(_subtree_root(middle, last, nodes))
            last = middle
        else:
            proof.append(_subtree_root(first, middle, nodes))
            first = middle
    # Where the older tree is itself a complete subtree from leaf 0 the verifier has its root already.
    if first:
        proof.append(_subtree_root(first, last, nodes))
    return tuple(reversed(proof))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `leaf`, a leaf hash, is proven to be number `index` of the tree of `size` with this root.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    place, last = index, size - 1
    node = leaf
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and len(leaf) == HASH_BYTES and node == root


def verify_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether the tree with `old_root` is proven to be the beginning of the tree with `new_root`.

    The empty tree is the beginning of every tree; its proof is empty.
    Source: RFC 9162 section 2.1.4.2.
    """
    if not 0 <= old_size <= new_size or any(len(node) != HASH_BYTES for node in proof):
        return False
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT and (new_size > 0 or new_root == EMPTY_ROOT)
    if old_size == new_size:
        return not proof and old_root == new_root
    if not proof:
        return False
    # A complete older tree is a node of the newer one; the proof leaves it out.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            new_node = node_hash(new_node, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and old_node == old_root and new_node == new_root


def _split(count: int) -> int:
    """The largest power of two smaller than `count`, which is at least 2. Source: RFC 6962 section 2.1."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree_root(start: int, stop: int, nodes: Nodes) -> bytes:
    return _fold([nodes(level, index) for level, index in cover(start, stop)])


def _fold(peaks: Sequence[bytes]) -> bytes:
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def _build_levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The complete subtrees of one tile, level by level."""
    levels: list[Sequence[bytes]] = [leaves]
    for _ in range(TILE_LEVEL):
        below = levels[-1]
        levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
    return levels


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for one in hashes:
        if len(one) != HASH_BYTES:
            message = f"a hash has {HASH_BYTES} bytes, not {len(one)}"
            raise TreeError(message)
