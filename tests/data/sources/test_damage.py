"""Damaged files in a process of bounded memory: rows, or an error that names the file; never a crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

_READ = """
import random, resource, sys
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
from orrery.data.table import read
from orrery.errors import OrreryError

form, seed = sys.argv[1], int(sys.argv[2])
n = range(1_500)
table = pa.table({"i": list(n), "s": [f"word {k % 50}" for k in n], "l": [[k, k + 1] for k in n]})
name = f"x.{form}"
if form == "parquet":
    pq.write_table(table, name, compression="zstd", row_group_size=500)
else:
    options = pa.ipc.IpcWriteOptions(compression="zstd" if seed % 2 else None)
    made = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
    with made(name, table.schema, options=options) as out:
        out.write_table(table, 500)
whole, draw = Path(name).read_bytes(), random.Random(seed)
huge = "ffffff7f ffffffff 00000040 ffffffffffffff7f feffffff0f 8080808008".split()
told = 0
for _ in range(int(sys.argv[3])):
    data = bytearray(whole)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data))
        at = at if draw.random() < 0.5 else max(0, len(data) - 1 - draw.randrange(1_500))
        put = bytes.fromhex(draw.choice(huge)) if draw.random() < 0.6 else bytes([draw.randrange(256)])
        data[at : at + len(put)] = put
    Path(name).write_bytes(data)
    try:
        assert sum(batch.num_rows for batch in read(name).batches()) < 10_000
    except OrreryError as error:
        told += name in str(error)
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) >> 10
print(told, peak)
"""


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("form", ["parquet", "arrow", "arrows"])
def test_numbers_that_are_huge_or_odd_do_no_harm(form: str, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _READ, form, str(seed), "60"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    told, peak_mib = map(int, done.stdout.split())
    assert told > 10
    assert peak_mib < 1_000
