"""Small servers of the standard library: files over HTTP with ranges, and a wire that counts its bytes."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer


@dataclass
class Web:
    """A running web server: what it has, by path; whom it answers; what it sent."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    login: str | None = None
    ranges: bool = True
    sent: int = 0
    bad: Callable[[int], str] = lambda sent: ""
    """Of how many bytes were sent so far, how the next answer breaks half way: ``cut`` or ``silent``."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def web() -> Iterator[Web]:
    """A web server for as long as the block runs."""

    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            data = site.files.get(self.path.partition("?")[0])
            status, first, last = 200, 0, len(data or b"") - 1
            asked = self.headers.get("Range")
            if site.login and self.headers.get("Authorization") != "Basic " + _base64(site.login):
                status, data = 401, b"who are you?"
            elif data is None:
                status, data = 404, b"there is none"
            elif asked and site.ranges:
                begin, _, end = asked.removeprefix("bytes=").partition("-")
                status, first, last = 206, int(begin), min(int(end or last), last)
            body = data[first : last + 1] if status == 206 else data
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes" if site.ranges else "none")
            self.send_header("ETag", hashlib.sha256(data).hexdigest())
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.end_headers()
            if with_body:
                how = site.bad(site.sent)
                site.sent += len(body)
                with suppress(OSError):
                    self.wfile.write(body[: len(body) // 2] if how else body)
                if how == "silent":
                    over.wait()
                self.close_connection = self.close_connection or bool(how)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client may go away."""

    with Server(("127.0.0.1", 0), Handler) as server:
        site = Web(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            over.set()
            server.shutdown()
            thread.join()


@dataclass
class Wire:
    """A wire to a server: how many bytes came back over it."""

    port: int
    back: int = 0


@contextmanager
def counted(port: int) -> Iterator[Wire]:
    """A wire to a port of this machine for as long as the block runs."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as there:
                forth = threading.Thread(target=_pump, args=(self.request, there), daemon=True)
                forth.start()
                with suppress(OSError):
                    while data := there.recv(1 << 16):
                        wire.back += len(data)
                        self.request.sendall(data)
                for end in (self.request, there):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                forth.join()

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        wire = Wire(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield wire
        finally:
            server.shutdown()
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
