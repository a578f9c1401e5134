"""One process of a crew: its arguments are a socket and the folder of tallies, its input is a job."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from orrery.errors import OrreryError
from orrery.serving.online.job import Job
from orrery.serving.online.jsonlog import log_as_json
from orrery.serving.online.server import serve_at


def main() -> int:
    """Answer until SIGTERM, or until whoever started it is gone."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the whole group; the crew says when
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    job = Job.from_dict(json.loads(sys.stdin.readline()))
    if job.log == "json":
        log_as_json()
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        try:
            service = serve_at(listener, job, Path(sys.argv[2]))
        except OrreryError as error:
            _say({"error": error.message, "hint": error.hint})
            return 1
        with service:
            _say({"pid": os.getpid()})
            threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
            stop.wait()
    return 0


def _watch_parent(stop: threading.Event) -> None:
    sys.stdin.read()  # ends when the crew does, even by SIGKILL
    stop.set()


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
