"""Read rows where they lie."""

from __future__ import annotations

from typing import Any, Literal

from orrery.data.table import Table
from orrery.data.table import read as read_table
from orrery.flow.operator import operator


@operator(lazy=True)
def read(
    *,
    place: str,
    query: str | None = None,
    kinds: dict[str, str] | None = None,
    on_bad: Literal["stop", "quarantine"] = "stop",
    connection: str | None = None,
    options: dict[str, Any] | None = None,
) -> Table:
    """Read rows where they lie: files, folders of images, databases.

    Args:
        place: A path or URL: rows.parquet, folder/*.csv, sqlite:///file.db, postgresql://host/base.
        query: The SQL to send to a database.
        kinds: What columns mean, where it cannot be told from them: image, category, text …
        on_bad: What happens at a row that cannot be read: stop, or set it aside.
        connection: The name of a connection; its URL with the password is in ORRERY_CONNECTION__NAME.
        options: Settings of the place's format, such as a delimiter.
    """
    return read_table(
        place, query=query, kinds=kinds, on_bad=on_bad, connection=connection, **(options or {})
    )
