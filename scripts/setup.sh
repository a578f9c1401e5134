#!/bin/sh
# Sets up a virtual environment and installs Orrery from this checkout, at the pinned versions.
# usage: [PYTHON=python3.12] sh scripts/setup.sh .venv
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" - <<'CHECK' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Orrery needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. "
             "Name another with: make setup PYTHON=python3.12")
CHECK

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
# uv installs the same packages as pip, some ten times faster.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
echo "installing into $venv (about 6 GB, most of it PyTorch) ..."
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode -r requirements/dev.txt
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps -e .
echo "installed: $("$venv/bin/orrery" --version)"
