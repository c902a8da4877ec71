"""Metric histories of a real server: what one call brings for many runs is complete, or read again run by run."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.ids import SourceId
from bulkexim.kinds.history import BULK_POINTS, Histories, Point, histories, shared
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.anyio

BATCH = 1000


@pytest.fixture(scope="module")
def filled(servers: Servers) -> MlflowServer:
    """A server for the runs of these tests."""
    return servers.start()


@pytest.fixture
async def server(filled: MlflowServer) -> AsyncIterator[Server]:
    """The server as a source."""
    async with connected(Endpoint(uri=filled.url), "source") as end:
        yield end


def run_with(server: MlflowServer, points: Iterable[tuple[float, int, int]]) -> SourceId:
    """Make a run with points of the metric "loss": value, time and step."""
    client = MlflowClient(server.url)
    run_id = client.create_run("0").info.run_id
    metrics = [Metric("loss", value, time, step) for value, time, step in points]
    for first in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[first : first + BATCH])
    return SourceId(run_id)


async def read(server: Server, runs: Sequence[SourceId], last: Point) -> tuple[Histories, dict[SourceId, list[Point]]]:
    """Return the histories as they were read ahead, and all points of each run."""
    found = await histories(server, dict.fromkeys(runs, (last,)))
    ahead = Histories(found.source, found.latest, dict(found.read))
    return ahead, {run: [point async for piece in found.of(run) for point in piece] for run in runs}


async def test_short_histories_of_several_runs_come_with_one_request(filled: MlflowServer, server: Server) -> None:
    runs = [run_with(filled, [(run + step / 10, 1000 + step, step) for step in range(5)]) for run in range(3)]
    before = server.client.traffic.requests
    _, points = await read(server, runs, Point("loss", step=4))
    assert server.client.traffic.requests - before == 1
    for number, run in enumerate(runs):
        assert points[run] == [Point("loss", number + step / 10, 1000 + step, step) for step in range(5)]


async def test_nan_which_the_bulk_route_writes_as_no_json_has_it_arrives(filled: MlflowServer, server: Server) -> None:
    runs = [run_with(filled, [(math.nan, 1, 0), (0.5, 2, 1), (math.inf, 3, 2)]) for _ in range(2)]
    ahead, points = await read(server, runs, Point("loss", step=2))
    assert len(ahead.read) == len(runs)
    for run in runs:
        values = [float(point.value) for point in points[run]]
        assert math.isnan(values[0])
        assert values[1:] == [0.5, 1.7976931348623157e308]


async def test_a_history_that_a_bulk_reply_cuts_is_read_again_whole(filled: MlflowServer, server: Server) -> None:
    # Every point has step 0, so nothing tells how many there are.
    many = BULK_POINTS // 2 + 500
    runs = [run_with(filled, [(0.5, time, 0) for time in range(many)]) for _ in range(2)]
    ahead, points = await read(server, runs, Point("loss", step=0))
    assert [len(found) for found in ahead.read.values()] == [many]
    assert [len(points[run]) for run in runs] == [many, many]


async def test_no_bulk_call_asks_for_more_points_than_a_reply_holds(server: Server) -> None:
    runs = [SourceId(f"{number:032x}") for number in range(40)]
    calls = shared(server, dict.fromkeys(runs, (Point("loss", step=999), Point("long", step=2500))))
    assert [call.key for call in calls] == ["loss"] * 2
    assert [run for call in calls for run in call.runs] == runs
    assert max(len(call.runs) for call in calls) * 1000 < BULK_POINTS
