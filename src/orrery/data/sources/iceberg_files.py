"""How files of an Iceberg table are reached: its own metadata chooses no code, no server and no login.

``pyiceberg`` takes the class that opens files, its endpoint and its keys from the properties of a table,
which whoever wrote the metadata chose. Here only what the user's own address and connection say is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orrery.data.sources import lakes

_KEPT = ("schema.name-mapping.default",)
"""What of a table's properties has a part in reading it."""
_LENT = (
    *("s3.access-key-id", "s3.secret-access-key", "s3.session-token", "s3.region", "s3.endpoint"),
    *("s3.force-virtual-addressing", "gcs.oauth2.token", "gcs.oauth2.token-expires-at", "client.region"),
)
"""What a REST catalog, a server that the user named, may say of where its files lie and how to log in."""


class Bounded:
    """Opens files of a table where they lie in its folder, and refuses all others."""

    def __init__(self, io: Any, root: str, place: str) -> None:
        self.io = io
        self.root = root
        self.place = place

    @property
    def properties(self) -> Any:
        """The settings of what opens the files."""
        return self.io.properties

    def new_input(self, location: str) -> Any:
        """A file to read. Raises SourceError for one that is elsewhere."""
        if not lakes.is_inside(location, self.root):
            raise lakes.outside(location, self.place)
        return self.io.new_input(location)


def static(location: str, settings: Mapping[str, str]) -> tuple[Any, Any]:
    """The metadata in a file, and what opens the table's files."""
    from pyiceberg.io import load_file_io
    from pyiceberg.serializers import FromInputFile

    io = load_file_io(dict(settings), location)
    return harmless(FromInputFile.table_metadata(io.new_input(location))), io


def harmless(metadata: Any) -> Any:
    """A table's metadata, with none of its properties but those that reading needs."""
    kept = {name: value for name, value in metadata.properties.items() if name in _KEPT}
    return metadata.model_copy(update={"properties": kept})


def careful(catalog: Any, settings: Mapping[str, str]) -> Any:
    """A catalog whose tables are opened with the user's settings, not with those of their metadata."""
    from pyiceberg.io import load_file_io

    is_server = type(catalog).__name__ == "RestCatalog"

    def opener(properties: Mapping[str, str] | None = None, location: str | None = None, *_: Any) -> Any:
        told = {**catalog.properties, **(properties or {})} if is_server else {}
        lent = {name: value for name, value in told.items() if name in _LENT or name.startswith("adls.sas-")}
        if _LENT[0] in settings:  # the user's login is not mixed with another
            lent = {name: value for name, value in lent.items() if name not in _LENT[:3]}
        return load_file_io({**lent, **settings}, location)

    catalog._load_file_io = opener
    return catalog
