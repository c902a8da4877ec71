"""Metric histories of two runs: a digest of each key, and the very points where the digests differ.

MLflow keeps the last point of each key apart, and shows and searches by it: where histories are equal, it is compared.

A digest does not depend on the order of the points, so histories of any length pass through in pieces.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import anyio

from bulkexim.errors import ObjectError
from bulkexim.kinds.compare.difference import Unread
from bulkexim.kinds.compare.histories import Histories
from bulkexim.kinds.compare.records import Point

#: Points of one key that are looked at one by one when its digests differ.
LOOKED_AT = 100_000
#: Of these, so many are named.
NAMED = 20


@dataclass(slots=True)
class Summary:
    """How many points a key has, the sum of their digests, and what stands at the highest step and time."""

    points: int = 0
    total: int = 0
    last: tuple[int, int] = (-sys.maxsize, -sys.maxsize)
    #: Whether there are a NaN and a number: MLflow has no order for these.
    undecided: bool = False
    _nan: bool = field(default=False, compare=False)

    def add(self, point: Point) -> None:
        """Take one point."""
        self.points += 1
        value = number(point.value)
        data = f"{point.step} {point.timestamp} {value}".encode()
        self.total += int.from_bytes(blake2b(data, digest_size=16).digest(), "big")
        at, nan = (point.step, point.timestamp), value == "nan"
        if at > self.last:
            self.last, self.undecided, self._nan = at, False, nan
        elif at == self.last:
            self.undecided |= nan != self._nan

    def __str__(self) -> str:
        return f"{self.points:,} points with the digest {self.total % 2**64:016x}"


class MetricSides(NamedTuple):
    """The keys that differ, at either side."""

    expected: Mapping[str, object]
    found: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MetricReader:
    """Reads the histories of a window of runs at both ends."""

    expected: Histories
    found: Histories
    #: Points are looked at for one key at a time, for they are held in memory.
    looking: anyio.Lock = field(default_factory=anyio.Lock)

    async def sides(self, run_id: str, dst_id: str) -> MetricSides:
        """Return the keys whose histories differ, with the points that do, and those that cannot be read."""
        wanted, unread = await _summaries(self.expected, run_id)
        there, unread_there = await _summaries(self.found, dst_id)
        last = {point.key: point for point in self.expected.latest.get(run_id, ())}
        last_there = {point.key: point for point in self.found.latest.get(dst_id, ())}
        expected: dict[str, object] = {}
        found: dict[str, object] = {}
        for key in sorted((wanted.keys() | there.keys()) - unread.keys() - unread_there.keys()):
            one, other = wanted.get(key), there.get(key)
            if one == other:
                if not _same_last(last[key], last_there[key], one):
                    expected[key], found[key] = _last(last[key]), _last(last_there[key])
            elif one and other and max(one.points, other.points) <= LOOKED_AT:
                async with self.looking:
                    try:
                        expected[key], found[key] = await self._points(run_id, dst_id, key)
                    except ObjectError as error:
                        unread[key] = Unread.of(error)
            else:
                expected |= {key: str(one)} if one else {}
                found |= {key: str(other)} if other else {}
        return MetricSides({**expected, **unread}, {**found, **unread_there})

    async def _points(self, run_id: str, dst_id: str, key: str) -> tuple[dict[str, str], dict[str, str]]:
        # As sets: a store of files may hold a point twice, a database cannot.
        wanted = {point async for page in self.expected.one(run_id, key) for point in map(_canonical, page)}
        there = {point async for page in self.found.one(dst_id, key) for point in map(_canonical, page)}
        return _named(wanted - there), _named(there - wanted)


def _same_last(one: Point, other: Point, summary: Summary | None) -> bool:
    if summary and summary.undecided and (one.step, one.timestamp) == (other.step, other.timestamp):
        return True
    return _canonical(one) == _canonical(other)


def _last(point: Point) -> dict[str, str]:
    return {"last point": f"step {point.step}, time {point.timestamp}: {number(point.value)}"}


async def _summaries(histories: Histories, run_id: str) -> tuple[dict[str, Summary], dict[str, Unread]]:
    """Return the summary of each key of a run, and the keys that cannot be read."""
    found: dict[str, Summary] = {}
    unread: dict[str, Unread] = {}
    for last in histories.latest.get(run_id, ()):
        try:
            async for piece in histories.of(run_id, last.key):
                for point in piece:
                    found.setdefault(point.key, Summary()).add(point)
        except ObjectError as error:
            unread[last.key] = Unread.of(error)
    return found, unread


def _canonical(point: Point) -> tuple[int, int, str]:
    return point.step, point.timestamp, number(point.value)


def _named(points: set[tuple[int, int, str]]) -> dict[str, str]:
    named: dict[str, str] = {}
    for step, timestamp, value in sorted(points)[:NAMED]:
        label = f"step {step}, time {timestamp}"
        named[label] = f"{named[label]} and {value}" if label in named else value
    if len(points) > NAMED:
        named["and"] = f"{len(points) - NAMED:,} more points"
    return named


def number(value: float | str) -> str:
    """Return a metric value as it is compared: a database keeps an infinity as its largest number, and no sign of 0."""
    plain = float(value)
    if math.isinf(plain):
        plain = math.copysign(sys.float_info.max, plain)
    return repr(plain + 0.0)
