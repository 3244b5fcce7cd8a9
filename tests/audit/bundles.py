"""A sealed log in memory, and bundles of it: as they are written, and as a forger would change them."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import audit.verifier
from audit.bundle import BundleRequest, LeafRange, Proofs, write_bundle
from audit.checkpoint import Checkpoint, render_checkpoint, render_vkey, sign_note
from audit.tree import RightEdge, layered_nodes, leaf_hash
from audit.verifier import FAILED, Report, verify_bundle

ORGANISATION = "org_1"
ORIGIN = f"usher.example/audit/{ORGANISATION}"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FORGERS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SOURCE = Path(audit.verifier.__file__).read_bytes()
CREATED_AT = datetime(2026, 3, 4, 5, 6, 8, tzinfo=UTC)


def make_vkey(key: Ed25519PrivateKey = KEY) -> str:
    return render_vkey("usher.example", key.public_key().public_bytes_raw())


def make_bodies(count: int) -> list[bytes]:
    return [b'{"action":"user.updated","id":"evt_%d","v":1}' % number for number in range(count)]


def make_note(
    bodies: Sequence[bytes], *, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN, size: int | None = None
) -> str:
    edge = RightEdge().append(map(leaf_hash, bodies))
    text = render_checkpoint(Checkpoint(origin, edge.size if size is None else size, edge.root()))
    return sign_note(text, "usher.example", key.public_key().public_bytes_raw(), key.sign)


def make_proofs(bodies: Sequence[bytes]) -> Proofs:
    leaves = [leaf_hash(body) for body in bodies]
    _, completed = RightEdge().append_with_nodes(leaves)
    stored = {(one.level, one.index): one.hash for one in completed}
    read = lambda first, stop: leaves[first:stop]  # noqa: E731 # Shorter than its name would be.
    return Proofs(layered_nodes(lambda level, index: stored[level, index], read), read)


def make_request(bodies: Sequence[bytes], *, key: Ed25519PrivateKey = KEY) -> BundleRequest:
    return BundleRequest(
        organisation=ORGANISATION,
        note=make_note(bodies, key=key),
        vkey=make_vkey(key),
        created_at=CREATED_AT,
        verifier=SOURCE,
    )


def make_range(
    bodies: Sequence[bytes],
    *,
    first: int = 0,
    end: int | None = None,
    older_sizes: Sequence[int] = (),
    key: Ed25519PrivateKey = KEY,
) -> bytes:
    """A bundle of every event of a range of leaves, by default of the whole log."""
    leaves = LeafRange(first, len(bodies) if end is None else end)
    request = replace(make_request(bodies, key=key), leaves=leaves, older_sizes=older_sizes)
    return make_bundle(request, bodies, range(leaves.first, leaves.end))


def make_selection(
    bodies: Sequence[bytes], indices: Iterable[int], *, older_sizes: Sequence[int] = ()
) -> bytes:
    """A bundle of the events that a filter let through."""
    request = replace(make_request(bodies), filter_text="action = user.updated", older_sizes=older_sizes)
    return make_bundle(request, bodies, indices)


def make_bundle(request: BundleRequest, bodies: Sequence[bytes], indices: Iterable[int]) -> bytes:
    file = BytesIO()
    write_bundle(
        file,
        request,
        events=((index, bodies[index]) for index in indices),
        names=[("pii:1", "Anna Example")],
        proofs=make_proofs(bodies),
    )
    return file.getvalue()


def unpack(archive: bytes, folder: Path) -> Path:
    with ZipFile(BytesIO(archive)) as files:
        files.extractall(folder)
    return folder


def edit_lines(path: Path, edit: Callable[[list[bytes]], object]) -> None:
    """Change the lines of a file in place; each has its line end."""
    lines = path.read_bytes().splitlines(keepends=True)
    edit(lines)
    path.write_bytes(b"".join(lines))


def edit_object(path: Path, number: int = 0, /, **values: object) -> None:
    """Set keys of the JSON object in one line of a file."""

    def edit(lines: list[bytes]) -> None:
        lines[number] = json.dumps(json.loads(lines[number]) | values).encode() + b"\n"

    edit_lines(path, edit)


def encode(hashes: Iterable[bytes]) -> list[str]:
    return [b64encode(one).decode() for one in hashes]


BODIES = make_bodies(600)
WHOLE = make_range(BODIES, older_sizes=[1, 300])
PART = make_range(BODIES, first=300, end=520, older_sizes=[1, 300])
SELECTED = make_selection(BODIES, [0, 7, 8, 255, 256, 599], older_sizes=[1, 300])


def check(path: Path, *, older: str = "") -> Report:
    """Verify with the right key."""
    return verify_bundle(path, keys=[make_vkey()], older=older)


def failure(path: Path, *, older: str = "") -> str:
    """What the verifier has against a bundle that must fail."""
    report = check(path, older=older)
    assert (report.result, report.exit_code) == (FAILED, 1)
    return report.detail
