"""Moves a workload between two servers: reads everything, then writes everything."""

from __future__ import annotations

import gc
import time

import msgspec

from bench.bare.reading import read_everything
from bench.bare.wire import wire
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


async def move(source: str, destination: str) -> Bare:
    """Move everything; what is done in memory between the two parts takes no time."""
    async with wire(source) as src, wire(destination) as dst:
        began = time.perf_counter()
        found = await read_everything(src)
        reading = time.perf_counter() - began
        ready = prepared(found)
        # What is held would be looked through again and again, which no generator of requests has to do.
        gc.freeze()
        began = time.perf_counter()
        await write_everything(dst, ready)
        writing = time.perf_counter() - began
    return Bare(reading, writing, {"source": src.requests, "destination": dst.requests})
