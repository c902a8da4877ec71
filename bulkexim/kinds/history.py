"""Metric histories: read for a window of runs together where the server returns every point, else run by run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import CallError
from bulkexim.ids import SourceId
from bulkexim.tasks import together

#: A run that returns fewer points than this in a bulk reply was not sampled (MLflow 3.15 and later).
SAMPLED_FROM = 2500
#: Points that a window may hold in memory.
WINDOW_POINTS = 200_000
HISTORY_PAGE = 10_000
#: A step as high as this is a time or an id, and says nothing about the number of points.
A_CLOCK = 10_000_000


#: What the ledger and MLflow's databases can hold.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
#: Values that JSON has no number for are texts.
MetricValue = float | Literal["NaN", "Infinity", "-Infinity"]


class Point(msgspec.Struct, frozen=True, gc=False):
    """One metric value; NaN and the infinities are texts on the wire. ``timestamp`` is in milliseconds."""

    key: str
    value: MetricValue = 0.0
    timestamp: Int64 = 0
    step: Int64 = 0


class _PointOfRun(msgspec.Struct, frozen=True, gc=False):
    run_id: SourceId
    key: str
    value: MetricValue = 0.0
    timestamp: Int64 = 0
    step: Int64 = 0


class _Bulk(msgspec.Struct, frozen=True):
    metrics: tuple[_PointOfRun, ...] = ()


class _History(msgspec.Struct, frozen=True):
    metrics: tuple[Point, ...] = ()
    next_page_token: str | None = None


Latest = Mapping[SourceId, Sequence[Point]]


@dataclass(slots=True)
class Histories:
    """The histories of a window of runs: what was read ahead, and the way to the rest."""

    source: Server
    latest: Latest
    read: dict[tuple[SourceId, str], list[Point]] = field(default_factory=dict)

    async def of(self, run_id: SourceId) -> AsyncIterator[Sequence[Point]]:
        """Yield every point of a run, key by key, in pieces; what was read ahead is forgotten."""
        for metric in self.latest.get(run_id, ()):
            ready = self.read.pop((run_id, metric.key), None)
            if ready is not None:
                yield ready
                continue
            async for piece in history(self.source, run_id, metric.key):
                yield piece


def shared(source: Server, latest: Latest) -> dict[str, list[SourceId]]:
    """Return the keys whose histories one bulk call can bring for several runs, with those runs."""
    if not source.capabilities.sampled_history or _expected(latest) > WINDOW_POINTS:
        return {}
    runs: dict[str, list[SourceId]] = {}
    for run_id, points in latest.items():
        for point in points:
            if point.step < SAMPLED_FROM:
                runs.setdefault(point.key, []).append(run_id)
    return {key: ids for key, ids in runs.items() if len(ids) > 1}


async def histories(source: Server, latest: Latest) -> Histories:
    """Read ahead what one bulk call for each key brings completely. ``latest`` holds the last point of each key."""
    found = Histories(source, latest)
    async with together() as tasks:
        for key, ids in shared(source, latest).items():
            tasks.start_soon(_read_ahead, found, key, ids)
    return found


def expected_requests(source: Server, latest: Latest) -> int:
    """Return how many calls the histories of a window will take."""
    together_read = shared(source, latest)
    covered = sum(len(ids) for ids in together_read.values())
    alone = sum(len(points) for points in latest.values()) - covered
    return len(together_read) + alone


async def _read_ahead(found: Histories, key: str, runs: Sequence[SourceId]) -> None:
    params: list[tuple[str, str | int]] = [
        ("metric_key", key),
        ("max_results", SAMPLED_FROM),
        *(("run_ids", run_id) for run_id in runs),
    ]
    try:
        reply = await found.source.get("metrics/get-history-bulk-interval", _Bulk, params)
    except CallError:
        return  # Run by run, a failure stays with its run.
    points: dict[SourceId, list[Point]] = {}
    for metric in reply.metrics:
        point = Point(metric.key, metric.value, metric.timestamp, metric.step)
        points.setdefault(metric.run_id, []).append(point)
    for run_id, history_of_run in points.items():
        if len(history_of_run) < SAMPLED_FROM:
            found.read[run_id, key] = history_of_run


async def history(source: Server, run_id: SourceId, key: str) -> AsyncIterator[Sequence[Point]]:
    """Yield the history of one key of one run in pages, or whole where the server has no pages."""
    params: list[tuple[str, str | int]] = [("run_id", run_id), ("metric_key", key)]
    if source.capabilities.paged_history:
        params.append(("max_results", HISTORY_PAGE))
    async for page in source.list("metrics/get-history", params, _History, lambda page: page.next_page_token):
        yield page.metrics


def _expected(latest: Latest) -> int:
    """Guess the points of a window from the last steps, which usually count them."""
    return sum(min(abs(point.step) + 1, SAMPLED_FROM) for points in latest.values() for point in points)


def points_of(latest: Iterable[Point]) -> int:
    """Guess how many points a run has, for an estimate."""
    return sum(abs(point.step) + 1 if abs(point.step) < A_CLOCK else 1 for point in latest)
