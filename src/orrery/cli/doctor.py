"""``orrery doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from orrery import __version__
from orrery.cli.options import Output, app_of
from orrery.cli.output import Format, say, show
from orrery.extras import EXTRA_OF, available
from orrery.settings import home, registry_url

PURPOSES = {
    "network": "networks",
    "boosted": "trees",
    "linear": "linear models",
    "server": "serving over HTTP",
    "pandas": "pandas frames",
    "polars": "Polars frames",
    "postgresql": "PostgreSQL",
    "tensorboard": "TensorBoard files",
    "sql": "any database of SQLAlchemy",
    "mysql": "MySQL and MariaDB",
    "spark": "the engine spark, data frames of Spark",
    "ray": "data sets of Ray",
    "kafka": "topics of Kafka",
    "mongo": "MongoDB",
    "delta": "Delta tables",
    "iceberg": "Iceberg tables",
    "grpc": "serving over gRPC",
    "client": "asking a service",
    "redis": "streams of Redis",
    "rabbitmq": "queues of RabbitMQ",
    "nats": "streams of NATS",
    "mqtt": "topics of MQTT",
    "traces": "traces of requests",
    "s3": "files in S3",
    "http": "files on web servers",
    "hdfs": "files in HDFS",
    "images": "JPEG three times as fast",
    "audio": "sound",
    "video": "video",
    "kubernetes": "the engine kubernetes",
}
"""Extra -> what it is for."""


def doctor(output: Output = Format.TABLE) -> None:
    """Say what is installed here, cores, memory and GPUs, and what is missing for what and how to get it.

    Examples:
      orrery doctor
      orrery doctor --output json | jq '.extras[] | select(.ready | not) | .get'
    """
    machine, extras = _machine(), _extras()
    if output is not Format.TABLE:
        show({"machine": machine, "extras": extras}, output)
        return
    show(machine, output)
    say("")
    for row in extras:
        mark = "✓" if row["ready"] else "·"
        state = ", ".join(f"{n} {v}" for n, v in row["installed"].items()) if row["ready"] else row["get"]
        say(f"{mark} {row['for']:24}{state}")


def _machine() -> dict[str, Any]:
    memory = _memory_bytes()
    place = home().absolute()
    disk = shutil.disk_usage(next(p for p in [place, *place.parents] if p.exists()))
    return {
        "orrery": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": f"{memory / 2**30:.1f} GiB" if memory else "unknown",
        "gpus": _gpus() or "none",
        "home": f"{home()} ({disk.free / 2**30:.0f} GiB free)",
        "registry": registry_url(),
    }


def _memory_bytes() -> int:
    """What this process may use: the container's limit, or the machine's memory."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError, OSError):
        return 0
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return whole
    return min(whole, int(limit)) if limit.isdigit() else whole


def _gpus() -> list[str]:
    """Names and memory of NVIDIA GPUs, as their own tool tells them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _extras() -> list[dict[str, Any]]:
    """Each extra: what it is for, whether its packages are there, and how to get them."""
    packages: dict[str, list[str]] = {}
    for module, extra in EXTRA_OF.items():
        packages.setdefault(extra, []).append(module)
    names = packages_distributions()
    return [
        {
            "extra": extra,
            "for": PURPOSES.get(extra, extra),
            "ready": all(available(module) for module in modules),
            "installed": {m: _version(names, m) for m in modules if available(m)},
            "get": f'pip install "orrery-ml[{extra}]"',
        }
        for extra, modules in packages.items()
    ]


def _version(names: Any, module: str) -> str:
    try:
        return version(names.get(module, [module])[0])
    except PackageNotFoundError:
        return "?"


app = app_of(doctor)
