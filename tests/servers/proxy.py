"""A proxy on loopback that drops, delays and stalls connections by chance, as a bad network would."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 1 << 16


@dataclass
class Proxy:
    """Forwards each connection to ``target``, a port, for as many bytes as chance gives it."""

    target: int
    bytes_least: int
    bytes_most: int
    delay_s: float = 0.0
    """Some chunks are held back for up to so long."""
    stall_share: float = 0.0
    """How many of the connections fall silent for good instead of being cut."""
    seed: int = 0
    port: int = 0
    connections: int = 0
    dropped: int = 0
    stalled: int = 0
    answered_bytes: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Forward until told that it is over."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for _ in range(3):  # turns of the loop, in which aborted connections are closed
            await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        draw = random.Random(f"{self.seed} {self.connections}")
        self.connections += 1
        with suppress(OSError, asyncio.CancelledError):
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
                try:
                    await self._carry((reader, far_writer), (far_reader, writer), draw)
                finally:
                    far_writer.transport.abort()
            finally:
                writer.transport.abort()

    async def _carry(
        self,
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        back: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        draw: random.Random,
    ) -> None:
        """Both ways, until one side ends or the bytes that chance gives are used up."""
        left = draw.randint(self.bytes_least, self.bytes_most)
        asking = asyncio.create_task(self._forward(*there, draw, None))
        answering = asyncio.create_task(self._forward(*back, draw, left))
        try:
            done, _ = await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
            if answering in done and answering.result() and draw.random() < self.stall_share:
                self.stalled += 1
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                await there[0].read()  # silent until the client goes away
            elif answering in done and answering.result():
                self.dropped += 1
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        draw: random.Random,
        left: int | None,
    ) -> bool:
        """Chunks one way; whether it was cut, and not ended by a side."""
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if self.delay_s and draw.random() < 0.05:
                    await asyncio.sleep(draw.random() * self.delay_s)
                if left is not None:
                    chunk = chunk[:left]
                    left -= len(chunk)
                    self.answered_bytes += len(chunk)
                writer.write(chunk)
                await writer.drain()
                if left == 0:
                    return True
        return False


@contextmanager
def proxy(
    target: int,
    bytes_least: int,
    bytes_most: int,
    *,
    delay_s: float = 0.0,
    stall_share: float = 0.0,
    seed: int = 0,
) -> Iterator[Proxy]:
    """A proxy for as long as the block runs; its thread and its connections end with it."""
    made = Proxy(target, bytes_least, bytes_most, delay_s, stall_share, seed)
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(made.serve(ready, over),), daemon=True)
    thread.start()
    try:
        if not ready.wait(30):
            raise RuntimeError("the proxy did not start")
        yield made
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()
