"""How many runs a source has, which MLflow does not say: found with a few searches for one run each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bench.workloads import fill
from bench.workloads.shapes import Shape
from bulkexim.artifacts.copier import Copier
from bulkexim.config import Endpoint, Settings
from bulkexim.ends.server import connected
from bulkexim.kinds.experiment import experiments
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.opening import blank
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.anyio

RUNS = 1234


@pytest.fixture(scope="module")
def filled(servers: Servers) -> MlflowServer:
    """A server with more runs than a page holds."""
    server = servers.start()
    fill(server, Shape("many", RUNS))
    return server


@pytest.fixture
async def pair(filled: MlflowServer) -> AsyncIterator[Pair]:
    """The server as both ends, with a ledger that knows nothing yet."""
    async with connected(Endpoint(uri=filled.url), "source") as server, blank() as ledger:
        yield Pair(server, server, ledger, Settings())


async def total(pair: Pair) -> tuple[int | None, int]:
    """Return the number of runs, and how many requests it took."""
    selected = [one async for page in experiments(pair.source) for one in page]
    before = pair.source.client.traffic.requests
    found = await RunKind(pair, Copier(pair.source.client, pair.source.client), selected, selected).total()
    return found, pair.source.client.traffic.requests - before


async def test_the_number_of_runs_is_found_by_halving(pair: Pair) -> None:
    found, requests = await total(pair)
    assert found == RUNS
    assert requests <= 3 + 10


async def test_a_number_that_still_holds_is_found_with_two_requests(pair: Pair) -> None:
    await pair.ledger.phase("run", RUNS, RUNS)
    assert await total(pair) == (RUNS, 2)


@pytest.mark.parametrize("earlier", [1, RUNS - 1, RUNS + 1, 3 * RUNS])
async def test_a_number_that_holds_no_more_does_not_mislead(pair: Pair, earlier: int) -> None:
    await pair.ledger.phase("run", earlier, earlier)
    assert (await total(pair))[0] == RUNS
