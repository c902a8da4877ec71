"""W2 to W7, beside the bare load generator at its best: the goal is to be no slower than the bare way."""

from __future__ import annotations

from collections.abc import Iterator

from bench.goals.contest import contest
from bench.goals.figure import Figure, at_most
from bench.ground import Ground
from bench.workloads.shapes import W2, W3, W4, W5, W6, W7, Shape


def w2(ground: Ground) -> Iterator[Figure]:
    """Yield the figures of many small runs."""
    return _figures(ground, W2)


def w3(ground: Ground) -> Iterator[Figure]:
    """Yield the figures of much history."""
    return _figures(ground, W3)


def w4(ground: Ground) -> Iterator[Figure]:
    """Yield the figures of files of mixed sizes."""
    return _figures(ground, W4)


def w5(ground: Ground) -> Iterator[Figure]:
    """Yield the figures of a registry; the order of its versions is checked."""
    return _figures(ground, W5)


def w6(ground: Ground) -> Iterator[Figure]:
    """Yield the figures of nested runs, half of them without their parents."""
    return _figures(ground, W6)


def w7(ground: Ground) -> Iterator[Figure]:
    """Yield the figures of few models with many versions; the order of these is checked."""
    return _figures(ground, W7)


def _figures(ground: Ground, shape: Shape) -> Iterator[Figure]:
    found = contest(ground, shape)
    what = "our time over reading, then writing everything"
    yield at_most(1, shape.name, what, found.ours / found.bare, basis=found.basis)
    ours, least = found.rounds[0].ours.requests, sum(found.rounds[0].bare.requests.values())
    yield at_most(1.03, shape.name, "our requests over the unavoidable", ours / least, basis=f"{ours:,} of {least:,}")
