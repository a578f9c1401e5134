#!/bin/sh
# Makes build/peers (Petastorm, which does not fit beside our own pins) or, asked for "threads", build/peers-threads
# (SPDL and Grain, which do). Torch comes from ours. Idempotent; exits 1 where the packages cannot be had.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
which=${1:-petastorm}
case "$which" in
  petastorm) peers="$root/build/peers"; list=requirements.txt; options=""; proof="import petastorm, torch" ;;
  threads)
    peers="$root/build/peers-threads"; list=threads.txt; options="--no-deps"
    proof="import grain, torch; from spdl.pipeline import PipelineBuilder"
    ;;
  *) echo "setup.sh: there is no $which; petastorm or threads" >&2; exit 2 ;;
esac
[ -f "$peers/.ready" ] && exit 0
rm -rf "$peers"
"$root/.venv/bin/uv" venv -q --python "$root/.venv/bin/python" "$peers"
# shellcheck disable=SC2086 # no options are no argument
"$root/.venv/bin/uv" pip install -q $options --python "$peers/bin/python" -r "$root/benchmarks/peers/$list"
# Behind the packages of its own, so that torch and what it needs are found.
"$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
  > "$("$peers/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/zz_ours.pth"
"$peers/bin/python" -c "$proof"
touch "$peers/.ready"
