"""Pages: of a real server whose tokens a gateway spoils, and of books that are asked for several pages at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import anyio
import msgspec
import pytest
from mlflow import MlflowClient

from bulkexim.config import Endpoint
from bulkexim.ends.pages import AT_ONCE, pages, token_at
from bulkexim.ends.server import Server, connected
from bulkexim.errors import BadReply, Refused
from bulkexim.http.retry import Patience
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
    assert server.client.traffic.requests - before == 1 + AT_ONCE * PATIENCE.fault_tries


class Book:
    """Pages by their offsets, each with the token that it names next; it notes what is asked for.

    ``side_by_side`` pages are given only when so many are asked for at once; the first page is given alone.
    """

    def __init__(self, tokens: Mapping[int, str | None], *, torn: int | None = None, side_by_side: int = 1) -> None:
        self.asked: list[int] = []
        self._open: list[anyio.Event] = []
        self._side_by_side = side_by_side
        self._tokens = {None if offset == 0 else token_at(offset): offset for offset in tokens}
        self._next = tokens
        self._torn = torn

    async def page(self, asked: str | None, check: Callable[[int], None]) -> int:
        """Return the offset of a page."""
        offset = self._tokens[asked]
        self.asked.append(offset)
        if offset > 0:
            await self._meet()
        if offset == self._torn:
            raise Refused("The page is torn.")
        check(offset)
        return offset

    async def _meet(self) -> None:
        met = anyio.Event()
        self._open.append(met)
        if len(self._open) == self._side_by_side:
            for one in self._open:
                one.set()
            self._open = []
        await met.wait()

    def read(self) -> AsyncIterator[int]:
        """Return the offsets of all pages as they come."""
        return pages(self.page, lambda offset: self._next[offset], "book")


async def test_pages_whose_tokens_are_offsets_are_asked_for_side_by_side_and_come_in_order() -> None:
    tokens = {offset: token_at(offset + 10) for offset in range(0, 60, 10)}
    book = Book(tokens | {60: None}, side_by_side=AT_ONCE)
    with anyio.fail_after(30.0):
        assert [page async for page in book.read()] == list(range(0, 70, 10))
    assert book.asked == list(range(0, 70, 10))


async def test_what_was_asked_for_behind_the_last_page_is_nobodys() -> None:
    book = Book({0: token_at(10), 10: None, 20: None})
    assert [page async for page in book.read()] == [0, 10]


async def test_pages_go_on_where_the_server_says_though_another_offset_was_foretold() -> None:
    book = Book({0: token_at(10), 10: token_at(17), 20: token_at(30), 17: token_at(27), 27: None})
    assert [page async for page in book.read()] == [0, 10, 17, 27]


async def test_the_pages_before_one_that_cannot_be_read_come_first() -> None:
    book = Book({0: token_at(10), 10: token_at(20), 20: None}, torn=20)
    read: list[int] = []
    with pytest.raises(Refused, match="torn"):
        async for page in book.read():
            read.append(page)  # noqa: PERF401 - a comprehension would lose what came before the error
    assert read == [0, 10]


def _every_third_passes(asked: Asked) -> Fault:
    return Fault.PASS if asked.number % 3 == 0 else Fault.TOKEN
