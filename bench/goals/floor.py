"""The floor: the bare load generator at that number of requests at once which suits a workload best."""

from __future__ import annotations

from typing import NamedTuple

from bench.ground import Ground
from bench.workloads.shapes import FULL, Shape

#: Numbers that are tried. From 15 writes on, processes of a server may come to wait for each other.
TRIED = (4, 8, 12, 16)
#: Each is tried on this part of a workload, with a destination of its own.
PART = 10


class Pace(NamedTuple):
    """Requests at once."""

    reading: int
    writing: int

    def __str__(self) -> str:
        return f"{self.reading} reads or {self.writing} writes at once"


def best_pace(ground: Ground, shape: Shape) -> Pace:
    """Return the numbers with which a part of a workload is read and written fastest."""
    with ground.source(shape.shrunk(FULL // PART)) as source:
        found = {}
        for at_once in TRIED:
            with ground.destination() as destination:
                found[at_once] = ground.bare(source.url, destination.url, *Pace(at_once, at_once))
    return Pace(
        min(found, key=lambda at_once: found[at_once].reading),
        min(found, key=lambda at_once: found[at_once].writing),
    )
