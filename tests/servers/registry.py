"""A schema registry for the tests: a small server that speaks the part of Confluent's interface that is used.

Those that are packaged need a newer Java than Kafka does.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


@dataclass
class Registry:
    """A running registry: its schemas by number, its subjects, whom it answers, what it was asked."""

    port: int
    schemas: list[dict[str, Any]] = field(default_factory=list)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    login: str | None = None
    asked: list[str] = field(default_factory=list)
    answer: bytes | None = None
    """Given to every question, if it is set."""
    moved: str | None = None
    """Where every question is sent on to, if it is set."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, subject: str, schema: Any, **more: Any) -> int:
        """A schema for a subject; its number."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas.append({"schema": text, **more})
        self.subjects.setdefault(subject, []).append(len(self.schemas))
        return len(self.schemas)

    def found(self, path: str) -> dict[str, Any] | None:
        """What a path leads to."""
        words = [unquote(word) for word in path.strip("/").split("/")]
        if words[:2] == ["schemas", "ids"] and 0 < int(words[2]) <= len(self.schemas):
            return self.schemas[int(words[2]) - 1]
        if words[0] == "subjects" and words[1] in self.subjects:
            numbers = self.subjects[words[1]]
            number = numbers[-1 if words[3] == "latest" else int(words[3]) - 1]
            return {"subject": words[1], "id": number, **self.schemas[number - 1]}
        return None


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry for as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(lambda: server.found(self.path))

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.reply(lambda: {"id": server.add(unquote(self.path.split("/")[2]), sent["schema"])})

        def reply(self, find: Any) -> None:
            server.asked.append(f"{self.command} {self.path}")
            told = "Basic " + base64.b64encode((server.login or "").encode()).decode()
            if server.moved is not None:
                self.send_response(302)
                self.send_header("Location", server.moved)
                self.end_headers()
                return
            if server.login and self.headers.get("Authorization") != told:
                status, body = 401, {"error_code": 401}
            else:
                found = find()
                status, body = (200, found) if found is not None else (404, {"error_code": 40403})
            data = json.dumps(body).encode()
            if server.answer is not None:
                status, data = 200, server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client may go away."""

    with Server(("127.0.0.1", 0), Handler) as http:
        server = Registry(http.server_port)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
