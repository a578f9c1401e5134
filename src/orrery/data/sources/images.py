"""A folder of pictures: the sub-folder is the label."""

from __future__ import annotations

from typing import Any

from orrery.data.codecs import image
from orrery.data.sources.media import MediaFolder
from orrery.schema import Kind


class Images(MediaFolder):
    """Pictures in a folder and its sub-folders, sorted by path: columns ``image``, ``label``, ``path``."""

    column = "image"
    kind = Kind.IMAGE
    endings = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")

    def examine(self, data: bytes, whole: bool) -> tuple[Any, ...]:
        """Nothing more. Raises BadRowError."""
        height, width, _ = image.size(data)
        if whole:
            image.decode(data, height=height, width=width)
        return ()
