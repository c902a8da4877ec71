"""Moves a workload between two servers: reads everything, then writes everything."""

from __future__ import annotations

import gc
import time

import msgspec

from bench.bare.reading import read_everything
from bench.bare.wire import AT_ONCE, wire
from bench.bare.writing import prepared, write_everything


class Bare(msgspec.Struct, frozen=True):
    """Seconds for reading and for writing everything, and requests to either server."""

    reading: float
    writing: float
    requests: dict[str, int]

    @property
    def seconds(self) -> float:
        """Both parts."""
        return self.reading + self.writing


async def move(source: str, destination: str, reading: int = AT_ONCE, writing: int = AT_ONCE) -> Bare:
    """Move everything; what is done in memory between the two parts takes no time.

    ``reading`` and ``writing`` are the numbers of requests at once.
    """
    async with wire(source, reading) as src, wire(destination, writing) as dst:
        began = time.perf_counter()
        found = await read_everything(src)
        read = time.perf_counter() - began
        ready = prepared(found)
        # What is held would be looked through again and again, which no generator of requests has to do.
        gc.freeze()
        began = time.perf_counter()
        await write_everything(dst, ready)
        written = time.perf_counter() - began
    return Bare(read, written, {"source": src.requests, "destination": dst.requests})
