"""Where work runs: this machine, and the clusters that a company already has."""

from __future__ import annotations

KINDS = {
    "local": "orrery.engines.local:LOCAL",
    "ray": "orrery.engines.ray:Ray",
    "spark": "orrery.engines.spark:Spark",
}
"""Name of an engine -> where it lives."""
