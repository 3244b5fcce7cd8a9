"""Verify the objects that a stream has stored in a bucket, on any machine, with nothing but Python 3.9.

    aws s3 sync s3://acme-audit/usher/ORGANISATION objects
    python3 verify_objects.py objects --key 'THE KEY YOU WERE GIVEN'

`verifier.py`, which is in every bundle that Usher exports, must lie beside this file. Every event is hashed, the root
of the tree is computed anew for each checkpoint and compared with what was signed. Exit code: 0 PASSED, 1 FAILED or
INCOMPLETE, when events that were signed are not here. Names beside the events are not covered.
"""

import argparse
import gzip
import json
import sys
from hashlib import sha256
from pathlib import Path

import verifier


def read_leaves(folder):
    """Leaf hashes by position, and the positions that the retention had removed before they could be stored."""
    leaves, gaps = {}, set()
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                record = json.loads(line)
                if record["record"] == "stream.gap":
                    gaps.update(range(record["from"], record["to"] + 1))
                elif not record.get("test"):
                    # The canonical form that was hashed. Source: RFC 8785; bodies have no floats and only ASCII keys.
                    body = json.dumps(
                        record["body"], ensure_ascii=False, sort_keys=True, separators=(",", ":")
                    )
                    leaf = sha256(b"\0" + body.encode()).digest()
                    if leaves.setdefault(record["leaf_index"], leaf) != leaf:
                        raise verifier.Failure(
                            f"{path}: another event {record['leaf_index']} than in another object"
                        )
    return leaves, gaps - leaves.keys()


def verify(folder, keys):
    """Compare every checkpoint with the events: the exit code, and what to say."""
    leaves, gaps = read_leaves(folder)
    heads = {}
    for path in sorted(folder.rglob("*.checkpoint")):
        note = path.read_bytes().decode()
        head = verifier.open_checkpoint(note, keys, verifier.verify_ed25519, str(path))
        first = heads.setdefault(head.size, (head, path))
        if (head.origin, head.root) != (first[0].origin, first[0].root):
            raise verifier.Failure(f"{path}: another log or another root than in {first[1]}")
    if len({head.origin for head, _ in heads.values()}) != 1:
        raise verifier.Failure("no checkpoint, or those of several logs: name the folder of one organisation")
    edge, size, passed = verifier.Edge(), 0, 0
    for wanted, (head, path) in sorted(heads.items()):
        while size < wanted and size in leaves:
            edge.push(leaves[size])
            size += 1
        if size < wanted:
            break
        if edge.root([]) != head.root:
            raise verifier.Failure(f"{path}: the events up to {wanted - 1} are not those that were signed")
        passed = wanted
    events = f"{passed} events of {head.origin}, from the first, are those that were signed"
    if passed == max(heads):
        return 0, f"PASSED: {events}; {len(leaves) - passed} behind them have no checkpoint yet"
    why = (
        "the retention had removed it before it could be stored; ask for a bundle"
        if size in gaps
        else "is the stream still sending, does it begin later, or has somebody removed it?"
    )
    return 1, f"INCOMPLETE: {events}, but of {max(heads)} that were signed event {size} is not here: {why}"


def main():
    parser = argparse.ArgumentParser(description="Verify the objects that a stream has stored.")
    parser.add_argument("folder", type=Path, help="what lies below one organisation in the bucket")
    parser.add_argument("--key", action="append", required=True, help="a verifier key that you trust")
    told = parser.parse_args()
    try:
        code, words = verify(told.folder, [verifier.parse_vkey(key) for key in told.key])
    except verifier.Failure as failure:
        code, words = 1, f"FAILED: {failure}"
    print(words)
    return code


if __name__ == "__main__":
    sys.exit(main())
