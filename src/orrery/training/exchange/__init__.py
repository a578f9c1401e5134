"""Exchanges: how the workers of a gang agree; one per file."""

from __future__ import annotations

KINDS = {
    "allreduce": "orrery.training.exchange.choice:AllReduce",
    "average": "orrery.training.exchange.choice:Average",
    "server": "orrery.training.exchange.choice:Server",
    "sharded": "orrery.training.exchange.choice:Sharded",
}
"""Kind of an exchange -> its settings. Plug-ins add theirs by an entry point of the package's name."""
