"""Arrow files in a saved model: written plain, and read as if a stranger had made them.

The file is read as the stream of messages that it is; the footer, which could point anywhere, is not used.
Compressed messages are refused (one of a kilobyte may claim a terabyte), and every value is validated.
"""

from __future__ import annotations

import struct

import pyarrow as pa

from orrery.errors import ModelFormatError

_MAGIC = b"ARROW1\0\0"


def write_arrow(table: pa.Table) -> bytes:
    """A table as the bytes of an Arrow IPC file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def read_arrow(content: bytes, name: str, *, shared: bool = False) -> pa.Table:
    """The table again, every value checked. Raises ModelFormatError.

    ``shared`` allows dictionaries and views, in which a thousand rows may hold one value of a megabyte.

    >>> read_arrow(write_arrow(pa.table({"a": [1, 2]})), "features.arrow").to_pydict()
    {'a': [1, 2]}
    """
    if not content.startswith(_MAGIC):
        raise ModelFormatError(f"{name!r} is not an Arrow file.")
    stream = content[len(_MAGIC) :]
    try:
        for message in pa.ipc.MessageReader.open_stream(stream):
            if message.type in {"record batch", "dictionary"} and _compressed(message):
                raise ModelFormatError(f"{name!r} is compressed; a model's Arrow files are plain.")
        with pa.ipc.open_stream(stream) as reader:
            for field in reader.schema:
                _check_type(field.type, name, shared)
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, struct.error, IndexError, ValueError, MemoryError) as error:
        raise ModelFormatError(f"{name!r} is cut short or altered: {error}.") from None
    if table.num_rows > 8 * len(content):  # not even a bit for each row
        raise ModelFormatError(f"{name!r} claims {table.num_rows} rows in {len(content)} bytes.")
    return table


def _check_type(kind: pa.DataType, name: str, shared: bool) -> None:
    """Refuse types whose values take no room: a few bytes could claim a billion of them."""
    is_a = pa.types
    empty = is_a.is_null(kind) or is_a.is_run_end_encoded(kind) or is_a.is_union(kind)
    empty = empty or (is_a.is_struct(kind) and not kind.num_fields)
    empty = empty or (is_a.is_fixed_size_list(kind) and not kind.list_size)
    empty = empty or (is_a.is_fixed_size_binary(kind) and not kind.byte_width)
    views = {pa.string_view(), pa.binary_view()}
    if empty or (not shared and (is_a.is_dictionary(kind) or kind in views)):
        raise ModelFormatError(f"{name!r} holds a column of type {kind}, which a model never does.")
    if is_a.is_dictionary(kind):
        _check_type(kind.value_type, name, shared)
    for i in range(kind.num_fields):
        _check_type(kind.field(i).type, name, shared)


def _compressed(message: pa.Message) -> bool:
    """Whether a record batch or dictionary message says that its buffers are compressed.

    Walks three flatbuffer tables (Arrow's format/Message.fbs): Message.header is field 2;
    DictionaryBatch.data is field 1; RecordBatch.compression is field 3.
    """
    data = bytes(message.metadata)
    root = struct.unpack_from("<I", data, 0)[0]
    batch = _field(data, root, 2)
    if batch is not None and message.type == "dictionary":
        batch = _field(data, batch, 1)
    return batch is not None and _field(data, batch, 3) is not None


def _field(data: bytes, table: int, field: int) -> int | None:
    """Where the sub-table of a flatbuffer table's field begins, or None where it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise ValueError("a table lies before its file")
    slot = 4 + 2 * field
    if slot + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + slot)[0]
    if offset == 0:
        return None
    at = table + int(offset)
    return at + int(struct.unpack_from("<I", data, at)[0])
