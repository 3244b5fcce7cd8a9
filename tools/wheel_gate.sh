#!/bin/sh
# Build the wheel and run it in an empty environment, away from the checkout.
# Usage: tools/wheel_gate.sh BIN
set -eu

bin=$(cd "$1" && pwd)
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# A stale build folder would put deleted modules into the wheel.
rm -rf build dist
"$bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \
    --wheel-dir dist .
rm -rf build
wheel=$(echo "$root"/dist/usher_sync-*.whl)

"$bin/python" -m venv --without-pip "$work/venv"
if ! { [ -x "$bin/uv" ] && "$bin/uv" pip install --quiet --python "$work/venv/bin/python" \
    --constraint requirements.lock "$wheel"; }; then
    "$bin/python" -m pip --python "$work/venv/bin/python" install --quiet --require-hashes -r requirements.lock
    "$bin/python" -m pip --python "$work/venv/bin/python" install --quiet --no-deps --no-index "$wheel"
fi

cd "$work"
unset PYTHONPATH || true
"$work/venv/bin/python" - "$root" <<'PYTHON'
import importlib
import sys
from importlib.metadata import files
from pathlib import Path

root = Path(sys.argv[1])
shipped = {path.as_posix() for path in files("usher-sync") or ()}
names = sorted({path.split("/")[0] for path in shipped if path.endswith("/__init__.py")})
for name in names:
    importlib.import_module(name)
# Every file of a package that is under version control's rules is in the wheel: data files are easily forgotten.
missing = [
    path.relative_to(root).as_posix()
    for name in names
    for path in sorted((root / name).rglob("*"))
    if path.is_file() and "__pycache__" not in path.parts and path.relative_to(root).as_posix() not in shipped
]
if missing:
    sys.exit("the wheel lacks " + ", ".join(missing))
PYTHON
"$work/venv/bin/usher" --version
"$work/venv/bin/usher" --help >/dev/null
echo "wheel: $(basename "$wheel") runs in an empty environment"
