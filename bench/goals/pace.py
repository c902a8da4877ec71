"""P9: whether we find the pace that suits a destination, beside every pace that could have been set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import NamedTuple

from bench.distant import distant
from bench.goals.figure import Figure, at_most
from bench.ground import Ground
from bench.workloads.shapes import W1, scaled

#: Requests at once that are tried as a fixed ceiling.
SWEEP = (1, 4, 8, 12, 16, 32)
#: Runs of W1 at full size: the sweep takes them eight times for each destination.
RUNS = 150
#: Runs for the destination that admits few requests.
FEW = 100
LATENCY_MS, RATE = 20, 50


class Place(NamedTuple):
    """A sort of destination: how it is opened, and how many runs go there."""

    name: str
    opened: Callable[[Ground], AbstractContextManager[str]]
    runs: int = RUNS


def p9(ground: Ground) -> Iterator[Figure]:
    """Yield our time without any flag over that of the best ceiling, for each sort of destination."""
    for place in PLACES:
        with ground.source(W1.shrunk(scaled(place.runs, ground.runs))) as source:
            fixed = {ceiling: _seconds(ground, source.url, place, ceiling) for ceiling in SWEEP}
            best = min(fixed, key=lambda ceiling: fixed[ceiling])
            # The least of several is so by luck too: it has to stand the comparison in turns.
            turns = [
                (_seconds(ground, source.url, place), _seconds(ground, source.url, place, best))
                for _ in range(ground.rounds)
            ]
        free, held = (median(seconds) for seconds in zip(*turns, strict=True))
        tried = ", ".join(f"{ceiling}: {seconds:.1f}" for ceiling, seconds in fixed.items())
        basis = f"without a flag {free:.1f} s, with {best} at once {held:.1f} s; sweep, in seconds: {tried}"
        yield at_most(1.10, "P9", f"{place.name}: our time over that of the best ceiling", free / held, basis=basis)


def _seconds(ground: Ground, source: str, place: Place, ceiling: int | None = None) -> float:
    flags = () if ceiling is None else ("--dst-concurrency", str(ceiling))
    with place.opened(ground) as destination:
        return ground.migrate(source, destination, *flags).seconds


@contextmanager
def _one_worker(ground: Ground) -> Iterator[str]:
    with ground.destination(workers=1) as server:
        yield server.url


@contextmanager
def _four_workers(ground: Ground) -> Iterator[str]:
    with ground.destination(workers=4) as server:
        yield server.url


@contextmanager
def _far_away(ground: Ground) -> Iterator[str]:
    with ground.destination() as server, distant(server.url, LATENCY_MS, RATE) as url:
        yield url


PLACES = (
    Place("one worker", _one_worker),
    Place("four workers", _four_workers),
    Place(f"{LATENCY_MS} ms away, {RATE} requests a second", _far_away, FEW),
)
