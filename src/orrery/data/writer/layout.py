"""How rows are laid out in files: the sizes of row groups and of shards, and folders by values."""

from __future__ import annotations

from dataclasses import dataclass, fields

from orrery.errors import SettingsError

FILE_BYTES = 256 << 20
"""Rows in one shard, as Arrow counts them, where nothing else was said."""


@dataclass(frozen=True)
class Layout:
    """Sizes are of rows in memory; compressed files are smaller."""

    rows_per_file: int | None = None
    file_bytes: int | None = None
    row_group_bytes: int = 8 << 20
    """Of a row group (Parquet) or record batch (Arrow). Small enough that training jumps from one to the
    next, large enough that each is worth a request."""
    partition_by: tuple[str, ...] = ()
    """Columns whose values name folders: ``year=2024/``."""
    form: str | None = None
    """Of the files in a folder: ``parquet``, ``csv.gz``, ``tar`` …"""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise SettingsError(f"{field.name} is {value}; it has to be at least 1.")

    @property
    def is_many(self) -> bool:
        """Whether the rows go to more than one file."""
        return bool(self.rows_per_file or self.file_bytes or self.partition_by)
