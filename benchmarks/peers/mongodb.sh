#!/bin/sh
# Makes build/peers-mongodb: pymongoarrow, which holds pyarrow at a version of its own.
# Idempotent; exits 1 where the packages cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers="$root/build/peers-mongodb"
[ -f "$peers/.ready" ] && exit 0
rm -rf "$peers"
"$root/.venv/bin/uv" venv -q --python "$root/.venv/bin/python" "$peers"
"$root/.venv/bin/uv" pip install -q --python "$peers/bin/python" pymongoarrow==1.15.0 pyarrow==25.0.1 pymongo==4.20.0
"$peers/bin/python" -W ignore -c 'import pymongoarrow.api'
touch "$peers/.ready"
