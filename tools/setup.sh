#!/bin/sh
# Make the virtual environment: every dependency at its locked version, checked against its hash.
# Usage: tools/setup.sh PYTHON VENV; with an empty PYTHON, one is looked for on PATH.
# uv does the work because it takes a quarter of pip's time; where it fails, pip reads the same lock.
set -eu

python=$1
venv=$2

fail() {
    echo "usher: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "$python" ]; then
    is_new_enough "$python" || fail "PYTHON=$python does not run or is older than Python 3.11"
else
    # A name on PATH need not run: version managers leave names of versions that are switched off.
    for candidate in python3.11 python3 python3.12 python3.13; do
        if is_new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] ||
        fail "no Python 3.11 or newer on PATH; install one, or name it: make PYTHON=/path/to/python3.11"
fi

# An environment that another Python made, or that was moved, is of no use.
if ! is_new_enough "$venv/bin/python"; then
    rm -rf "$venv"
    "$python" -m venv "$venv" ||
        fail "cannot make a virtual environment; on Debian install python3-venv"
fi

# pip says on each call that a newer pip exists; the lock decides versions here.
export PIP_DISABLE_PIP_VERSION_CHECK=1

with_pip() {
    echo "usher: uv cannot do it here, pip takes over (the same lock, but slower)" >&2
    "$venv/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
}

with_uv() {
    "$venv/bin/python" -m pip install --quiet --require-hashes -r uv.lock.txt &&
        "$venv/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.lock &&
        "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --offline -e .
}

with_uv || with_pip
