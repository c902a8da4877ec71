"""Pages of a real server whose tokens a gateway spoils: every page comes once, or the listing ends with an error."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest
from mlflow import MlflowClient

from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.errors import BadReply
from bulkexim.http.client import Patience
from tests.support.faults import Asked, Fault, Faults, proxied
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.anyio

NAMES = [f"experiment {number}" for number in range(5)]
PATIENCE = Patience(seconds=5.0, longest_pause=0.01)


class Experiment(msgspec.Struct, frozen=True):
    """What is listed."""

    name: str


class Page(msgspec.Struct, frozen=True):
    """One page of experiments."""

    experiments: tuple[Experiment, ...] = ()
    next_page_token: str | None = None


@pytest.fixture(scope="module")
def filled(servers: Servers) -> MlflowServer:
    """A server with some experiments."""
    server = servers.start()
    client = MlflowClient(server.url)
    for name in NAMES:
        client.create_experiment(name)
    return server


@pytest.fixture
def faults() -> Faults:
    """What the gateway does; nothing at first."""
    return Faults()


@pytest.fixture
async def server(filled: MlflowServer, faults: Faults) -> AsyncIterator[Server]:
    """The server behind its gateway."""
    async with (
        proxied(filled.url, faults) as proxy,
        connected(Endpoint(uri=proxy.url), "source", patience=PATIENCE) as end,
    ):
        yield end


def listing(server: Server, method: str) -> AsyncIterator[Page]:
    """Return the experiments, one to a page, by POST or GET."""
    query = {"max_results": 1, "order_by": ["name ASC"]}
    if method == "POST":
        return server.search("experiments/search", query, Page, lambda page: page.next_page_token)
    params: list[tuple[str, str | int]] = [("max_results", 1), ("order_by", "name ASC")]
    return server.list("experiments/search", params, Page, lambda page: page.next_page_token)


async def names(server: Server, method: str) -> list[str]:
    """Return the names on all pages."""
    with anyio.fail_after(30.0):
        return [one.name async for page in listing(server, method) for one in page.experiments]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_pages_with_spoiled_tokens_are_asked_for_again_and_come_once(
    server: Server, faults: Faults, method: str
) -> None:
    faults.rule = _every_third_passes
    assert await names(server, method) == ["Default", *NAMES]
    assert server.client.traffic.retries > len(NAMES)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_listing_whose_tokens_are_always_spoiled_ends(server: Server, faults: Faults, method: str) -> None:
    faults.rule = lambda _: Fault.TOKEN
    before = server.client.traffic.requests
    with pytest.raises(BadReply, match="would never end") as raised:
        await names(server, method)
    assert not raised.value.definite
    assert server.client.traffic.requests - before == 1 + PATIENCE.fault_tries


def _every_third_passes(asked: Asked) -> Fault:
    return Fault.PASS if asked.number % 3 == 0 else Fault.TOKEN
