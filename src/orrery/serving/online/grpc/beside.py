"""uvicorn's server with a gRPC server beside it, on one event loop."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from orrery.serving.online.grpc.server import GrpcServer


class Beside(uvicorn.Server):
    """A server that starts and ends another with it; ``error`` is why it could not start."""

    def __init__(self, config: uvicorn.Config, other: GrpcServer) -> None:
        super().__init__(config)
        self.other = other
        self.error: Exception | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start both, or neither."""
        try:
            await self.other.start()
        except Exception as error:  # raised again where somebody waits for the start
            self.error = error
            self.should_exit = True
            return
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End both: each answers what it was asked."""
        await asyncio.gather(self.other.stop(), super().shutdown(sockets))
