"""The log as JSON, a line per event: what happened, where in the code, and never what was asked."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
import traceback


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and of an error its class and places.

    What an error of a package says is left out, as it may repeat a value of a request.

    >>> record = logging.LogRecord("orrery", 30, "x.py", 1, "%d rows", (3,), None)
    >>> json.loads(JsonLines().format(record))["message"]
    '3 rows'
    """

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        moment = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        said: dict[str, object] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        trace = getattr(record, "trace_id", "")
        if trace:
            said["trace_id"] = trace
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            places = traceback.extract_tb(error.__traceback__)
            said["error"] = type(error).__name__
            said["at"] = [f"{place.filename}:{place.lineno} {place.name}" for place in places]
        return json.dumps(said, ensure_ascii=False)


def log_as_json(level: int = logging.INFO) -> None:
    """Write the log of this process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("orrery").setLevel(level)
