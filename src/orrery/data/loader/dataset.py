"""What a loader reads, as code written for torch asks for it: ``len(loader.dataset)`` counts rows."""

from __future__ import annotations

from collections.abc import Callable

from orrery.data.table import Table


class Dataset(Table):
    """The table of a loader. Its length is that of an epoch; what is made of it is a plain table.

    >>> from orrery.data.table import read
    >>> dataset = read({"a": [1, 2, 3]}).loader(2, form="numpy").dataset
    >>> len(dataset), dataset.schema.names
    (3, ('a',))
    """

    def __init__(self, table: Table, rows: Callable[[], int]) -> None:
        super().__init__(table.source, table.steps)
        self._rows = rows

    def __len__(self) -> int:
        return self._rows()

    def __bool__(self) -> bool:
        return True
