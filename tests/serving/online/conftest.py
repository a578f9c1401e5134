"""Services of the saved models: one per module of tests, on free ports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from orrery.serving.online.limits import Limits
from orrery.serving.online.server import Service, serve

LIMITS = Limits(body_bytes=2 << 20, rows=200, waiting_bytes=32 << 20)


@pytest.fixture(scope="module")
def service_of(
    saved: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Service]]:
    """A service by the name of its model, started when first asked for."""
    services: dict[str, Service] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORRERY_HOME", str(tmp_path_factory.mktemp("serving-home")))

        def get(name: str) -> Service:
            if name not in services:
                services[name] = stack.enter_context(serve(saved[name], port=0, wait=False, limits=LIMITS))
            return services[name]

        yield get


@pytest.fixture(scope="module")
def client_of(service_of: Callable[[str], Service]) -> Iterator[Callable[[str], httpx.Client]]:
    """A client of a service by the name of its model."""
    clients: dict[str, httpx.Client] = {}
    with ExitStack() as stack:

        def get(name: str) -> httpx.Client:
            if name not in clients:
                url = service_of(name).url
                clients[name] = stack.enter_context(httpx.Client(base_url=url, timeout=30))
            return clients[name]

        yield get


@pytest.fixture
def client(client_of: Callable[[str], httpx.Client]) -> httpx.Client:
    """A client of the clients."""
    return client_of("clients")
