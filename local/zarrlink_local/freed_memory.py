"""Memory that was freed is kept for the next answer."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# From malloc.h of glibc.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LARGEST_BUFFER: Final = 16 * 2**20
_KEPT_BYTES: Final = 64 * 2**20


def keep_freed_memory() -> None:
    """Let this process keep what it has freed: up to 64 MiB at the end of its heap, and the holes before it.

    A shard takes two or three buffers of megabytes, and glibc gives each back to the system at once: most of the time that a
    shard took went into pages being taken away, handed out and cleared again (measured: 1.9 ms, without it 0.5 ms). Where
    there is no glibc, nothing happens.
    """
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST_BUFFER)
        set_option(_TRIM_THRESHOLD, _KEPT_BYTES)
