"""How much more memory it takes to read a large group than a small one, in a process of its own.

SQLite keeps the pages that it reads, up to a bound of its own. So the statements of the large read are run once
beforehand with their rows thrown away; what is counted is what the application adds to that.

Usage: python -m bench.scim_memory FILE. The file says which place and which two groups. Prints one JSON object.
"""

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import psutil

from bench.scim_bare import replay_reads
from bench.scim_place import Pushed
from bench.scim_recording import Recorder, Recording


def _record(pushed: Pushed, path: str, results: "multiprocessing.Queue[Recording]") -> None:
    with Recorder(pushed) as recorder:
        recording = recorder.record("GET", path)
        # Only the statements are wanted: the body alone is larger than all that is to be measured.
        recording.body.clear()
        results.put(recording)


def _resident_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1024 / 1024


def main(file: str) -> None:
    said: dict[str, Any] = json.loads(Path(file).read_text())
    pushed = Pushed(Path(said["folder"]), said["directory_id"], said["token"])
    small, large = (f"/Groups/{group_id}" for group_id in said["groups"])
    # What a recording needs must not count as what a read needs.
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[Recording] = context.Queue()
    process = context.Process(target=_record, args=(pushed, large, results))
    process.start()
    recording = results.get()
    process.join()
    with Recorder(pushed) as recorder:
        _read(recorder, pushed, small)
        replay_reads(recorder.wiring.database, recording)
        before = _resident_mb()
        most = _read(recorder, pushed, large)
    print(json.dumps({"grown_mb": most - before, "before_mb": before}))


def _read(recorder: Recorder, pushed: Pushed, path: str) -> float:
    """Read an answer part by part, keeping none of it; the most memory that was in use then."""
    headers = {"Authorization": f"Bearer {pushed.token}"}
    # The peak that the system keeps is not asked: a process begins with that of whoever started it.
    answer = recorder.client.get(pushed.base + path, headers=headers)
    assert answer.status_code == 200, answer.status
    most = _resident_mb()
    for _ in answer.iter_encoded():
        most = max(most, _resident_mb())
    answer.close()
    return most


if __name__ == "__main__":
    main(sys.argv[1])
