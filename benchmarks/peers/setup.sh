#!/bin/sh
# Makes build/peers: an environment of the loaders that do not fit beside our own pins. Torch comes from ours.
# Idempotent; exits 1 where the packages cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers="$root/build/peers"
[ -f "$peers/.ready" ] && exit 0
rm -rf "$peers"
"$root/.venv/bin/uv" venv -q --python "$root/.venv/bin/python" "$peers"
"$root/.venv/bin/uv" pip install -q --python "$peers/bin/python" -r "$root/benchmarks/peers/requirements.txt"
# Behind the packages of its own, so that torch and what it needs are found.
"$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
  > "$("$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/zz_ours.pth"
"$peers/bin/python" -c 'import petastorm, torch'
touch "$peers/.ready"
