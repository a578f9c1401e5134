"""Reads a query of PostgreSQL by connectorx, alone in its process: prints rows, seconds and CPU seconds.

``python read_connectorx.py URL QUERY KEY PARTS``; KEY is where the query is cut into PARTS.
"""

from __future__ import annotations

import sys
import time

import connectorx
import pyarrow  # noqa: F401 - its import is not what is measured

url, query, key, parts = sys.argv[1:]
cut = {"partition_on": key, "partition_num": int(parts)} if int(parts) > 1 else {}
connectorx.read_sql(url, "select 1 as warm", return_type="arrow")
began, cpu = time.perf_counter(), time.process_time()
found = connectorx.read_sql(url, query, return_type="arrow", **cut)
print(found.num_rows, time.perf_counter() - began, time.process_time() - cpu)
