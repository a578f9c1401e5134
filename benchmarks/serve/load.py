"""A closed loop over HTTP: N connections, each sends its next request when its answer is there.

``python -m benchmarks.serve.load URL N SECONDS BODIES`` prints one line of JSON: answers per second, p50 and
p99 in ms, how many were not 200, and this process's own share of a core. BODIES is a file, a body per line.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Loop(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: list[bytes], took: list[float], first: int) -> None:
        self.requests, self.took, self.next = requests, took, first
        self.bad = 0
        self.left = b""
        self.began = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask at once."""
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Ask again when the answer is whole."""
        self.left += data
        end = self.left.find(b"\r\n\r\n")
        found = _LENGTH.search(self.left, 0, end) if end >= 0 else None
        if found is None or len(self.left) < end + 4 + int(found[1]):
            return
        self.took.append(time.perf_counter() - self.began)
        self.bad += not self.left.startswith(b"HTTP/1.1 200")
        self.left = b""
        self._ask()

    def _ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.requests[self.next % len(self.requests)])
        self.next += 1


async def loop(url: str, connections: int, seconds: float, bodies: list[bytes]) -> dict[str, float]:
    """Ask for so long."""
    place = urlsplit(url)
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(b)}\r\n\r\n".encode() + b for b in bodies]
    took: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()
    links = [
        await asyncio.get_running_loop().create_connection(
            lambda i=i: Loop(requests, took, i),
            place.hostname,
            place.port,  # type: ignore[misc]
        )
        for i in range(connections)
    ]
    await asyncio.sleep(seconds)
    done, elapsed = sorted(took), time.perf_counter() - began
    bad = sum(protocol.bad for _, protocol in links)
    for transport, _ in links:
        transport.abort()
    share = (time.process_time() - cpu) / elapsed
    at = lambda q: 1e3 * done[min(len(done) - 1, int(q * len(done)))] if done else float("nan")  # noqa: E731
    return {"rate": len(done) / elapsed, "p50_ms": at(0.5), "p99_ms": at(0.99), "bad": bad, "own_core": share}


if __name__ == "__main__":
    import uvloop

    address, count, for_s, file = sys.argv[1:]
    told = uvloop.run(loop(address, int(count), float(for_s), Path(file).read_bytes().splitlines()))
    print(json.dumps(told))
