"""Pages: of a real server whose tokens a gateway spoils, and of books that are asked for several pages at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import anyio
import msgspec
import pytest
from mlflow import MlflowClient

from bulkexim.config import Endpoint
from bulkexim.ends.page_tokens import offset_of, token_at
from bulkexim.ends.pages import AT_ONCE, LEFT_OUT, LOST, MOST, WANTED, Check, Pages, Wanted
from bulkexim.ends.server import Server, connected
from bulkexim.errors import BadReply, CallError, Lost, Refused, ReplyTooLarge, ServerFault, TimedOut
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

    async def page(self, wanted: Wanted, check: Check[int]) -> int:
        """Return the offset of a page."""
        offset = self._tokens[wanted.token]
        self.asked.append(offset)
        if offset > 0:
            await self._meet()
        if offset == self._torn:
            raise Refused("The page is torn.")
        check(offset, 1)
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
        return Pages(self.page, lambda offset: self._next[offset], "book").read()


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


class Rows:
    """A listing of rows with sizes in bytes; it fails on pages that hold some rows, or that are too large."""

    def __init__(self, sizes: Sequence[int], *, bad: Mapping[int, CallError] | None = None, most: int = 500) -> None:
        self.sizes = sizes
        self.asked: list[tuple[int, int]] = []
        self.left_out: list[int] = []
        self.read_at_once: list[int] = []
        self._bad = bad or {}
        self._most = most

    async def page(self, wanted: Wanted, check: Check[tuple[int, int]]) -> tuple[int, int]:
        """Return where a page begins and ends."""
        start, rows = offset_of(wanted.token) or 0, wanted.rows or 0
        self.asked.append((start, rows))
        end = min(start + rows, len(self.sizes))
        size = sum(self.sizes[start:end])
        if wanted.divisible is not None and size > wanted.divisible.reply:
            raise ReplyTooLarge("Large.", size)
        for row in range(start, end):
            if row in self._bad:
                raise self._bad[row]
        if end - start > self._most:
            raise TimedOut("Late.")
        check((start, end), size)
        self.read_at_once.append(size)
        return start, end

    async def read(self) -> list[int]:
        """Return the rows that come."""
        token = self._token
        listing = Pages(self.page, token, "rows", 500, 100, lambda offset, _: self.left_out.append(offset))
        return [row async for start, end in listing.read() for row in range(start, end)]

    def _token(self, page: tuple[int, int]) -> str | None:
        return token_at(page[1]) if page[1] < len(self.sizes) else None


BROKEN = ServerFault("Broken.", status=500)
BROKEN.temporary = False


async def test_small_rows_come_in_full_pages_after_a_first_small_one() -> None:
    rows = Rows([2000] * 1300)
    assert await rows.read() == list(range(1300))
    assert rows.asked == [(0, 100), (100, 500), (600, 500), (1100, 500), (1600, 500)]


async def test_large_rows_come_in_pages_of_some_megabytes() -> None:
    rows = Rows([1_000_000] * 60)
    assert await rows.read() == list(range(60))
    assert rows.asked[:2] == [(0, 100), (0, 6)]
    assert max(rows.read_at_once) <= 1.5 * WANTED
    assert len(rows.asked) < 20


async def test_rows_that_grow_large_within_a_listing_are_not_read_at_once() -> None:
    rows = Rows([1000] * 700 + [1_000_000] * 30)
    assert await rows.read() == list(range(730))
    assert max(rows.read_at_once) <= MOST


async def test_a_page_that_takes_too_long_is_never_asked_for_again_in_that_size() -> None:
    rows = Rows([1000] * 1000, most=120)
    assert await rows.read() == list(range(1000))
    assert [count for _, count in rows.asked].count(500) == AT_ONCE
    assert len(rows.asked) < 25


@pytest.mark.parametrize("bad", [0, 1, 150, 599, 999])
async def test_a_row_that_cannot_be_read_is_left_out_with_a_few_requests(bad: int) -> None:
    rows = Rows([1000] * 1000, bad={bad: BROKEN})
    assert await rows.read() == [row for row in range(1000) if row != bad]
    assert rows.left_out == [bad]
    assert len(rows.asked) < 35


async def test_a_listing_that_cannot_be_read_at_all_is_given_up() -> None:
    rows = Rows([1000] * 1000, bad=dict.fromkeys(range(1000), BROKEN))
    with pytest.raises(ServerFault):
        await rows.read()
    assert rows.left_out == list(range(LEFT_OUT))


async def test_rows_of_which_the_reply_gets_lost_are_not_many_in_a_row() -> None:
    rows = Rows([1000] * 1000, bad=dict.fromkeys(range(10, 1000), Lost("Gone.")))
    with pytest.raises(Lost):
        await rows.read()
    assert len(rows.left_out) == LOST


async def test_pages_of_one_row_are_asked_for_with_patience_and_larger_ones_are_not() -> None:
    seen: list[tuple[int, bool]] = []

    class Watched(Rows):
        async def page(self, wanted: Wanted, check: Check[tuple[int, int]]) -> tuple[int, int]:
            seen.append((wanted.rows or 0, wanted.divisible is None))
            return await super().page(wanted, check)

    await Watched([1000] * 200, bad={5: BROKEN}).read()
    assert {patient for rows, patient in seen if rows == 1} == {True}
    assert {patient for rows, patient in seen if rows > 1} == {False}


def _every_third_passes(asked: Asked) -> Fault:
    return Fault.PASS if asked.number % 3 == 0 else Fault.TOKEN
