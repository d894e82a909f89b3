"""Read a whole array as its users do: `python bulk_reader.py zarr-python|tensorstore ADDRESS SHA256`.

Prints a line of JSON: seconds waited and seconds of CPU time, from the opening to the last voxel, imports left out.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import numpy as np


def by_zarr_python(address: str) -> Any:
    import zarr

    return lambda: zarr.open_array(address, mode="r")[...]


def by_tensorstore(address: str) -> Any:
    import tensorstore as ts

    driver = "zarr3" if "/v3/" in address else "zarr"
    spec = {"driver": driver, "kvstore": {"driver": "http", "base_url": address + "/"}}
    return lambda: ts.open(spec, read=True).result().read(order="C").result()


READERS = {"zarr-python": by_zarr_python, "tensorstore": by_tensorstore}


def main() -> None:
    reader, address, expected = sys.argv[1:]
    read = READERS[reader](address)
    started, cpu = time.perf_counter(), time.process_time()
    voxels = read()
    waited_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    found = hashlib.sha256(np.ascontiguousarray(voxels)).hexdigest()
    if found != expected:
        sys.exit(f"{reader} read other voxels from {address}")
    print(json.dumps({"waited_s": waited_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
