"""Features: what is learnt from columns, one kind per file."""

from __future__ import annotations

KINDS: dict[str, str] = {}
"""Kind of a feature -> ``module:Class``. Plug-ins add theirs by the entry point ``orrery.features``."""
