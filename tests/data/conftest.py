"""Servers for the tests of data."""

from __future__ import annotations

from tests.servers.postgresql import postgresql
from tests.servers.s3 import s3

__all__ = ["postgresql", "s3"]
