"""Metric histories as a comparison reads them: of many runs together where a server can, all others one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from urllib.parse import quote_plus

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import CallError
from bulkexim.kinds.compare.records import MetricValue, Point
from bulkexim.tasks import together

#: The route of MLflow's own pages. It gives so many points at most, and leaves out the rest without a word
#: (``mlflow.server.handlers``).
TOGETHER = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
MOST_POINTS = 25_000
#: Points of one history that is worth a call of its own, and of a window that is read ahead into memory.
LONG, HELD = 2_500, 200_000
PAGE = 10_000
#: Characters of an address beside the name of the metric and the ids of runs.
OTHERWISE = 200


class _OfRun(msgspec.Struct, frozen=True, gc=False):
    run_id: str
    key: str
    value: MetricValue = 0.0
    timestamp: int = 0
    step: int = 0


class _Together(msgspec.Struct, frozen=True):
    metrics: tuple[_OfRun, ...] = ()


class _Page(msgspec.Struct, frozen=True):
    metrics: tuple[Point, ...] = ()
    next_page_token: str | None = None


@dataclass(slots=True)
class Histories:
    """The histories of a window of runs of one server, by the last point of each metric (``latest``, by run)."""

    server: Server
    latest: Mapping[str, Sequence[Point]]
    _ahead: dict[tuple[str, str], list[Point]] = field(default_factory=dict)

    async def read_ahead(self) -> None:
        """Read together what is short; the last step of a metric tells, as a rule, how many points it has."""
        short: dict[str, dict[str, int]] = {}
        for run_id, metrics in self.latest.items():
            for last in metrics:
                if abs(last.step) < LONG:
                    short.setdefault(last.key, {})[run_id] = abs(last.step) + 1
        points = sum(sum(runs.values()) for runs in short.values())
        if self.server.capabilities.bulk_runs == 1 or points > HELD:
            return
        async with together() as tasks:
            for key, runs in short.items():
                for group in _groups(runs, self._at_once(key)):
                    tasks.start_soon(self._read, key, group)

    def _at_once(self, key: str) -> int:
        able = self.server.capabilities
        room = able.longest_address - OTHERWISE - len(quote_plus(key))
        return min(able.bulk_runs, room // len("&run_id=" + 32 * "0"))

    async def of(self, run_id: str, key: str) -> AsyncIterator[Sequence[Point]]:
        """Yield every point of one key of a run, in pieces; what was read ahead is forgotten."""
        ahead = self._ahead.pop((run_id, key), None)
        if ahead is not None:
            yield ahead
            return
        async for piece in self.one(run_id, key):
            yield piece

    async def one(self, run_id: str, key: str) -> AsyncIterator[Sequence[Point]]:
        """Yield the history of one key of one run."""
        given: list[tuple[str, str | int]] = [("run_id", run_id), ("metric_key", key)]
        if self.server.capabilities.paged_history:
            given.append(("max_results", PAGE))
        token: str | None = ""
        while token is not None:
            page = await self.server.get(
                "metrics/get-history", _Page, [*given, *([("page_token", token)] if token else [])]
            )
            yield page.metrics
            token = page.next_page_token or None

    async def _read(self, key: str, runs: Sequence[str]) -> None:
        given: list[tuple[str, str | int]] = [("metric_key", key), ("max_results", MOST_POINTS)]
        given += [("run_id", run_id) for run_id in runs]
        try:
            reply = await self.server.optional.ask(TOGETHER, lambda: self.server.get(TOGETHER, _Together, given))
        except CallError:
            reply = None
        if reply is None:
            return  # Each is read by itself.
        found: dict[str, list[Point]] = {}
        for one in reply.metrics:
            # Every point comes with a key of its own; tens of thousands are held at once.
            found.setdefault(one.run_id, []).append(Point(intern(one.key), one.value, one.timestamp, one.step))
        if len(reply.metrics) >= MOST_POINTS:
            found.pop(reply.metrics[-1].run_id)  # The points come run by run: this one may be cut.
        self._ahead |= {(run_id, key): points for run_id, points in found.items()}


def _groups(runs: Mapping[str, int], at_once: int) -> list[list[str]]:
    """Return the runs of a key in groups, each for one call, by the points that each run is expected to have."""
    groups: list[list[str]] = []
    points = MOST_POINTS
    for run_id, expected in runs.items():
        if points + expected >= MOST_POINTS or len(groups[-1]) >= at_once:
            groups.append([])
            points = 0
        groups[-1].append(run_id)
        points += expected
    return [group for group in groups if len(group) > 1]
