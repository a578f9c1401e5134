"""How rows are written as the bytes of messages, one form per file; read and written alike."""

from __future__ import annotations

KINDS = {
    "json": "orrery.data.payloads.json:Json",
    "avro": "orrery.data.payloads.avro:Avro",
    "protobuf": "orrery.data.payloads.protobuf:Protobuf",
    "arrow": "orrery.data.payloads.arrow:Arrow",
    "text": "orrery.data.payloads.plain:Text",
    "bytes": "orrery.data.payloads.plain:Bytes",
}
"""Kind of payload -> its settings. Installed packages add theirs as entry points of this name."""
