"""Metric histories: short ones are read for a window of runs together, all others run by run.

Together they are read by the route of MLflow's own pages, ``get-history-bulk``: one query, for which the server takes
half the time that it takes for ``get-history-bulk-interval``, and a third of that for one history after the other
(measured on MLflow 3.17.2 with PostgreSQL, 100 runs of 50 points).
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import Annotated, Literal, NamedTuple
from urllib.parse import quote_plus

import msgspec

from bulkexim.ends.capabilities import Capabilities
from bulkexim.ends.server import Server
from bulkexim.errors import CallError
from bulkexim.ids import SourceId
from bulkexim.tasks import together

BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
#: Points of one bulk reply at most; the rest is left out without a word (``mlflow.server.handlers``).
BULK_POINTS = 25_000
#: The same below ``/api/`` (MLflow 2.10): slower before 3.15, and thinned out where there is more than `LONG` allows.
INTERVAL = "metrics/get-history-bulk-interval"
#: A history whose last step is as high as this costs no more alone; of as many points, `INTERVAL` may leave some out.
LONG = 2500
#: All steps that there can be: without bounds, MLflow before 3.15 leaves out negative ones.
EVERY_STEP = (("start_step", -(2**63)), ("end_step", 2**63 - 1))
#: Points that a window may hold in memory.
WINDOW_POINTS = 200_000
HISTORY_PAGE = 10_000
#: A step as high as this is a time or an id, and says nothing about the number of points.
A_CLOCK = 10_000_000


#: What the ledger and MLflow's databases can hold.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
#: Values that JSON has no number for are texts.
MetricValue = float | Literal["NaN", "Infinity", "-Infinity"]


def as_kept(value: MetricValue) -> float:
    """Return a value as a logged model shows it: neither databases nor the ledger hold a NaN, nor an infinity."""
    number = float(value)
    if math.isinf(number):
        return math.copysign(sys.float_info.max, number)
    return 0.0 if math.isnan(number) else number


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


class Shared(NamedTuple):
    """One bulk call: the histories of one key for several runs."""

    key: str
    runs: list[SourceId]


def shared(source: Server, latest: Latest) -> list[Shared]:
    """Return the bulk calls that bring most of the histories, as far as their last steps tell."""
    if source.capabilities.bulk_runs == 1 or _expected(latest) > WINDOW_POINTS:
        return []
    calls: list[Shared] = []
    open_calls: dict[str, Shared] = {}
    points: Counter[str] = Counter()
    for run_id, last_points in latest.items():
        for last in last_points:
            if abs(last.step) >= LONG:
                continue
            points[last.key] += abs(last.step) + 1
            if (
                last.key not in open_calls
                or points[last.key] >= BULK_POINTS
                or _is_full(open_calls[last.key], source.capabilities)
            ):
                points[last.key] = abs(last.step) + 1
                open_calls[last.key] = Shared(last.key, [])
                calls.append(open_calls[last.key])
            open_calls[last.key].runs.append(run_id)
    return [call for call in calls if len(call.runs) > 1]


def _is_full(call: Shared, able: Capabilities) -> bool:
    # Each run takes "&run_ids=" and its id; what else an address holds, but for the key, has room in 200 letters.
    room = able.longest_address - 200 - len(quote_plus(call.key))
    return len(call.runs) >= min(able.bulk_runs, room // len(f"&run_ids={call.runs[0]}"))


async def histories(source: Server, latest: Latest) -> Histories:
    """Read ahead what bulk calls bring completely. ``latest`` holds the last point of each key."""
    found = Histories(source, latest)
    async with together() as tasks:
        for call in shared(source, latest):
            tasks.start_soon(_read_ahead, found, call)
    return found


def expected_requests(source: Server, latest: Latest) -> int:
    """Return how many calls the histories of a window will take."""
    calls = shared(source, latest)
    covered = sum(len(call.runs) for call in calls)
    return len(calls) + sum(len(points) for points in latest.values()) - covered


async def _read_ahead(found: Histories, call: Shared) -> None:
    try:
        points = await _in_bulk(found.source, call)
        if points is None:
            points = await _by_interval(found.source, call)
    except CallError:
        return  # Run by run, a failure stays with its run.
    for run_id in call.runs:
        if run_id in points:
            found.read[run_id, call.key] = points[run_id]


async def _in_bulk(source: Server, call: Shared) -> dict[SourceId, list[Point]] | None:
    """Return the points of those runs whose history comes whole; ``None`` where the route is kept from us."""
    params: list[tuple[str, str | int]] = [("metric_key", call.key), ("max_results", BULK_POINTS)]
    params += [("run_id", run_id) for run_id in call.runs]
    reply = await source.optional.ask(BULK, lambda: source.get(BULK, _Bulk, params))
    if reply is None:
        return None
    points = _by_run(reply)
    if len(reply.metrics) >= BULK_POINTS:
        del points[reply.metrics[-1].run_id]  # Points come run by run, so only the last run may be cut.
    return points


async def _by_interval(source: Server, call: Shared) -> dict[SourceId, list[Point]]:
    """Return the same by a route of the API; from MLflow 3.15 on a run is thinned out by itself, before by its steps.

    Before, steps are left out when all runs together have more than `LONG`; then that many are in the reply.
    """
    params: list[tuple[str, str | int]] = [("metric_key", call.key), ("max_results", LONG), *EVERY_STEP]
    params += [("run_ids", run_id) for run_id in call.runs]
    reply = await source.optional.ask(INTERVAL, lambda: source.get(INTERVAL, _Bulk, params))
    if reply is None or len({point.step for point in reply.metrics}) >= LONG:
        return {}
    return {run_id: points for run_id, points in _by_run(reply).items() if len(points) < LONG}


def _by_run(reply: _Bulk) -> dict[SourceId, list[Point]]:
    points: dict[SourceId, list[Point]] = {}
    for metric in reply.metrics:
        # Every point comes with a key of its own; tens of thousands are held at once.
        point = Point(intern(metric.key), metric.value, metric.timestamp, metric.step)
        points.setdefault(metric.run_id, []).append(point)
    return points


async def history(source: Server, run_id: SourceId, key: str) -> AsyncIterator[Sequence[Point]]:
    """Yield the history of one key of one run in pages, or whole where the server gives it so."""
    params: list[tuple[str, str | int]] = [("run_id", run_id), ("metric_key", key)]
    if source.capabilities.paged_history:
        params.append(("max_results", HISTORY_PAGE))
    async for page in source.list("metrics/get-history", params, _History, lambda page: page.next_page_token):
        yield page.metrics


def _expected(latest: Latest) -> int:
    """Guess the points of a window from the last steps, which usually count them."""
    return sum(min(abs(point.step) + 1, LONG) for points in latest.values() for point in points)


def points_of(latest: Iterable[Point]) -> int:
    """Guess how many points a run has, for an estimate."""
    return sum(abs(point.step) + 1 if abs(point.step) < A_CLOCK else 1 for point in latest)
