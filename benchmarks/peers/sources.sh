#!/bin/sh
# Makes build/peers-sources: connectorx in an environment of its own; Arrow comes from ours.
# Idempotent; exits 1 where the package cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers="$root/build/peers-sources"
[ -f "$peers/.ready" ] && exit 0
rm -rf "$peers"
"$root/.venv/bin/uv" venv -q --python "$root/.venv/bin/python" "$peers"
"$root/.venv/bin/uv" pip install -q --no-deps --python "$peers/bin/python" connectorx==0.4.6
"$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
  > "$("$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/zz_ours.pth"
"$peers/bin/python" -c 'import connectorx, pyarrow'
touch "$peers/.ready"
