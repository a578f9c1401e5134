"""PostgreSQL for the tests of data."""

from __future__ import annotations

from tests.servers.postgresql import postgresql

__all__ = ["postgresql"]
