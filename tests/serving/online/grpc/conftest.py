"""Services of the saved models that answer over gRPC too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
import tritonclient.grpc as triton

from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

LIMITS = Limits(body_bytes=2 << 20, rows=200, waiting_bytes=32 << 20)


@pytest.fixture(scope="module")
def served(
    saved: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Service]]:
    """A service by the name of its model, started when first asked for."""
    services: dict[str, Service] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(tmp_path_factory.mktemp("grpc-home")))

        def get(name: str) -> Service:
            if name not in services:
                services[name] = stack.enter_context(
                    serve(saved[name], port=0, grpc_port=0, wait=False, limits=LIMITS)
                )
            return services[name]

        yield get


@pytest.fixture
def triton_of(served: Callable[[str], Service]) -> Iterator[Callable[[str], triton.InferenceServerClient]]:
    """Triton's own client of a service by the name of its model."""
    with ExitStack() as stack:

        def get(name: str) -> triton.InferenceServerClient:
            client = triton.InferenceServerClient(f"127.0.0.1:{served(name).grpc_port}")
            stack.callback(client.close)
            return client

        yield get


@pytest.fixture
def channel(served: Callable[[str], Service]) -> Iterator[grpc.Channel]:
    """A bare channel to the service of the clients: bytes go in and out."""
    with grpc.insecure_channel(f"127.0.0.1:{served('clients').grpc_port}") as opened:
        yield opened
