"""Ray for the tests: one node on loopback with three slots, without its page."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def ray_node() -> Iterator[Any]:
    """One node for all tests; its processes end with it."""
    before = dict(os.environ)
    os.environ.update(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_USAGE_STATS_ENABLED="0")
    import ray

    ray.init(
        address="local",  # not one that somebody else started
        num_cpus=3,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=200 << 20,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's settings warn of each other
        context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    try:
        yield ray
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
