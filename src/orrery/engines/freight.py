"""Tasks and answers on their way between our own processes: the one place where anything is pickled.

What is packed here goes through a private file or socket to a process that this one started, and to nobody
else. Functions of modules travel by name; functions written in a script or a notebook travel whole, where
the package ``cloudpickle`` is installed. Large buffers (arrays, Arrow columns) lie beside the rest in the
file, and the workers of a gang map the same pages.
"""

from __future__ import annotations

import io
import mmap
import pickle
import struct
import tempfile
from typing import IO, Any

from orrery.errors import EngineError
from orrery.extras import available

_ALIGNED = 64  # bytes; what Arrow likes its buffers to begin at


def pack(value: object) -> bytes:
    """A value as bytes. Raises EngineError for what cannot travel.

    >>> unpack(pack({"a": 1}))
    {'a': 1}
    """
    try:
        return pickle.dumps(value, 5)  # much quicker, and nearly always enough
    except (pickle.PicklingError, TypeError, AttributeError):
        return _dump(value, None)


def unpack(packed: bytes) -> Any:
    """The value again; only for bytes that one of our own processes packed."""
    return pickle.loads(packed)


def load(value: object) -> IO[bytes]:
    """A value in a file without a name, from which any number of our processes can take it.

    >>> with load(("a", 2)) as file:
    ...     unload(file.fileno())
    ('a', 2)
    """
    buffers: list[pickle.PickleBuffer] = []
    packed = _dump(value, buffers)
    raws = [buffer.raw() for buffer in buffers]
    lengths = [len(packed), *(raw.nbytes for raw in raws)]
    file: IO[bytes] = tempfile.TemporaryFile(prefix="orrery-task-")  # noqa: SIM115 # closed by the caller
    file.write(struct.pack(f"<{1 + len(lengths)}Q", len(lengths), *lengths))
    parts: list[bytes | memoryview] = [packed, *raws]
    for part in parts:
        file.write(bytes(-file.tell() % _ALIGNED))
        file.write(part)
    file.flush()
    return file


def unload(descriptor: int) -> Any:
    """The value that :func:`load` put there; its buffers are mapped, not copied. Changes stay private."""
    pages = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    view = memoryview(pages)
    count = struct.unpack_from("<Q", view)[0]
    lengths = struct.unpack_from(f"<{count}Q", view, 8)
    parts, at = [], 8 * (1 + count)
    for length in lengths:
        at += -at % _ALIGNED
        parts.append(view[at : at + length])
        at += length
    return pickle.loads(parts[0], buffers=parts[1:])


def _dump(value: object, buffers: list[pickle.PickleBuffer] | None) -> bytes:
    out = io.BytesIO()
    append = None if buffers is None else buffers.append
    try:
        _pickler(out, append).dump(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise EngineError(
            f"The task cannot be sent to another process: {error}.",
            hint="Give it what it needs as plain values, and open files and connections inside of it."
            + ("" if available("cloudpickle") else " Functions of a script need: pip install cloudpickle."),
        ) from None
    return out.getvalue()


def _pickler(out: io.BytesIO, append: Any) -> pickle.Pickler:
    if available("cloudpickle"):
        import cloudpickle

        made: pickle.Pickler = cloudpickle.Pickler(out, protocol=5, buffer_callback=append)
        return made
    return pickle.Pickler(out, protocol=5, buffer_callback=append)
