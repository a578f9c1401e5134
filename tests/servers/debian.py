"""Servers from the distribution's packages: downloaded as any user may, unpacked, never installed.

No service of them starts, and nothing outside of the cache is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import cache


def fetch(name: str, program: str) -> Path:
    """The folder above a server's ``program`` (such as ``usr/bin/redis-server``): ``/``, or in the cache.

    Raises MissingServerError where it cannot be had.
    """
    root = Path("/")
    if (root / program).exists():
        return root
    return cache.built(name, lambda folder: _unpack(folder, name, program))


def environment(root: Path) -> dict[str, str]:
    """Where unpacked libraries lie."""
    if root == Path("/"):
        return {}
    found = sorted({str(path.parent) for path in root.glob("**/lib*.so.*")})
    return {"LD_LIBRARY_PATH": ":".join([*found, os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")}


def _unpack(folder: Path, name: str, program: str) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise cache.MissingServerError(f"{name} is not installed, and there is no apt-get to have it from")
    with tempfile.TemporaryDirectory(prefix="orrery-deb-") as scratch:
        Path(scratch).chmod(0o755)
        packages = cache.pins()[name]["debian"]
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
        if _run(download, scratch) != 0:
            _run(["apt-get", "-q", "update"], scratch)  # the lists of packages may be old
            if _run(download, scratch) != 0:
                raise cache.MissingServerError(f"{name} is not installed, and its packages cannot be had")
        for file in sorted(Path(scratch).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(file), str(folder)], check=True, timeout=120)
    if not (folder / program).exists():
        raise cache.MissingServerError(f"the distribution's packages of {name} hold no {program}")


def _run(command: list[str], folder: str) -> int:
    quiet = subprocess.DEVNULL
    return subprocess.call(command, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, timeout=300)
