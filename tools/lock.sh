#!/bin/sh
# Lock the newest dependencies that setup.cfg allows, with their hashes. No index is named in the lock.
# Usage: tools/lock.sh BIN
# Not `uv lock`: on a project without a [project] table it writes an empty lock and reports no error.
set -eu

"$1/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links setup.cfg --extra dev -o requirements.lock
echo 'uv' | "$1/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links --no-annotate - -o uv.lock.txt
