"""The client of one server: which calls are sent again, for how long, and what it says when it gives up."""

from __future__ import annotations

import gc
import gzip
import weakref
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import pytest
import respx

from bulkexim.ends.server import Server
from bulkexim.errors import (
    BadReply,
    CallError,
    FatalError,
    Lost,
    NotFound,
    RacingDuplicate,
    Refused,
    ServerFault,
    TemporaryTrouble,
    Unsure,
)
from bulkexim.http.client import Client
from bulkexim.http.limiter import START, Limiter
from bulkexim.http.retry import Patience, Repeat
from tests.virtual_clock import VirtualClock

pytestmark = pytest.mark.anyio

PATH = "api/2.0/mlflow/runs/create"
LONGEST_PAUSE = 20.0 + 0.2

OK = httpx.Response(200, json={"run_id": "7"})
PAGE = httpx.Response(200, text="<html>Please log in.</html>", headers={"content-type": "text/html"})
SLOW_DOWN = httpx.Response(429)
GATEWAY = httpx.Response(502, text="<html>Bad gateway</html>")
OVERLOADED = httpx.Response(503, text="<html>Try later</html>")
FAULT = httpx.Response(500, text="<html>Internal error</html>")
BROKEN_OFF = httpx.Response(
    503, json={"error_code": "TEMPORARILY_UNAVAILABLE", "message": "server closed the connection"}
)
LOCKED = httpx.Response(503, json={"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is locked"})
DUPLICATE = httpx.Response(400, json={"error_code": "BAD_REQUEST", "message": "UNIQUE constraint failed: x"})
MISSING = httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No run."})
ILLEGAL = httpx.Response(400, json={"error_code": "INVALID_PARAMETER_VALUE", "message": "No."})

Reply = httpx.Response | httpx.RequestError


class Run(msgspec.Struct, frozen=True):
    """What the calls of these tests ask for."""

    run_id: str


class Odd(msgspec.Struct, frozen=True):
    """A reply of MLflow's routes for its own pages, which write what Python takes for JSON."""

    values: tuple[float | str, ...]
    text: str


@pytest.fixture
def clock() -> VirtualClock:
    """The time of the limiter, of the pauses and of the patience."""
    return VirtualClock()


@pytest.fixture
def router() -> respx.Router:
    return respx.Router(assert_all_called=False)


@pytest.fixture
async def client(router: respx.Router, clock: VirtualClock) -> AsyncIterator[Client]:
    http = httpx.AsyncClient(base_url="http://server.example", transport=httpx.MockTransport(router.async_handler))
    client = Client(
        "destination", http, Limiter(clock=clock, sleep=clock.skip), Patience(), sleep=clock.skip, clock=clock
    )
    yield client
    await client.aclose()


@pytest.fixture
def answers(router: respx.Router) -> Callable[..., respx.Route]:
    """Make the server give these replies, one for each request; the last one again and again."""

    def answer(*replies: Reply) -> respx.Route:
        given = iter(replies)

        def reply(request: httpx.Request) -> httpx.Response:
            one = next(given, replies[-1])
            if isinstance(one, Exception):
                raise one
            return httpx.Response(one.status_code, headers=one.headers, stream=httpx.ByteStream(one.content))

        return router.route().mock(side_effect=reply)

    return answer


async def create(client: Client, repeat: Repeat) -> Run:
    """Make the call of these tests."""
    return await client.call("POST", PATH, Run, body={"experiment_id": "1"}, repeat=repeat)


#: Replies after which nobody knows whether the call was carried out.
UNKNOWN: dict[str, Reply] = {
    "connection reset": httpx.ReadError("reset"),
    "no reply": httpx.RemoteProtocolError("closed"),
    "late reply": httpx.ReadTimeout("late"),
    "body not sent": httpx.WriteError("broken pipe"),
    "page": PAGE,
    "cut JSON": httpx.Response(200, text='{"run_id": "7'),
    "other JSON": httpx.Response(200, json={"run": 7}),
    "not UTF-8": httpx.Response(200, content=b'{"run_id": "\xff"}'),
    "fault": FAULT,
    "gateway": GATEWAY,
    "overloaded": OVERLOADED,
    "database gone": BROKEN_OFF,
    "request too slow": httpx.Response(408),
}
#: Replies that say that the call was certainly not carried out, and may be the next time.
NOT_YET: dict[str, Reply] = {
    "refused": httpx.ConnectError("refused"),
    "unreachable": httpx.ConnectTimeout("silence"),
    "slow down": SLOW_DOWN,
    "slow down, with a time": httpx.Response(429, headers={"retry-after": "3"}),
    "locked": LOCKED,
    "duplicate": DUPLICATE,
}


@pytest.mark.parametrize("reply", [*UNKNOWN.values(), *NOT_YET.values()], ids=[*UNKNOWN, *NOT_YET])
async def test_a_safe_call_is_repeated(client: Client, answers: Callable[..., respx.Route], reply: Reply) -> None:
    route = answers(reply, reply, OK)
    assert await create(client, Repeat.SAFE) == Run("7")
    assert route.call_count == 3
    assert {call.request.content for call in route.calls} == {b'{"experiment_id":"1"}'}


@pytest.mark.parametrize("reply", UNKNOWN.values(), ids=UNKNOWN)
async def test_a_call_that_may_be_sent_once_is_not_repeated_when_its_outcome_is_unknown(
    client: Client, answers: Callable[..., respx.Route], reply: Reply
) -> None:
    route = answers(reply, OK)
    with pytest.raises(Unsure) as raised:
        await create(client, Repeat.ONCE)
    assert route.call_count == 1
    assert client.traffic.unsure == 1
    assert not raised.value.definite
    assert isinstance(raised.value.__cause__, Lost)


@pytest.mark.parametrize("reply", NOT_YET.values(), ids=NOT_YET)
async def test_a_call_that_may_be_sent_once_is_repeated_when_it_was_certainly_not_carried_out(
    client: Client, answers: Callable[..., respx.Route], reply: Reply
) -> None:
    route = answers(reply, reply, OK)
    assert await create(client, Repeat.ONCE) == Run("7")
    assert route.call_count == 3


async def test_a_call_that_may_be_sent_once_is_unsure_when_its_second_try_gets_lost(
    client: Client, answers: Callable[..., respx.Route]
) -> None:
    route = answers(httpx.ConnectError("refused"), httpx.ReadError("reset"), OK)
    with pytest.raises(Unsure):
        await create(client, Repeat.ONCE)
    assert route.call_count == 2


@pytest.mark.parametrize("repeat", Repeat)
@pytest.mark.parametrize(
    ("reply", "kind"), [(MISSING, NotFound), (ILLEGAL, Refused), (httpx.Response(401), FatalError)]
)
async def test_a_refusal_is_final(
    client: Client, answers: Callable[..., respx.Route], repeat: Repeat, reply: Reply, kind: type[Exception]
) -> None:
    route = answers(reply, OK)
    with pytest.raises(kind):
        await create(client, repeat)
    assert route.call_count == 1


@pytest.mark.parametrize("reply", UNKNOWN.values(), ids=UNKNOWN)
async def test_a_duplicate_tells_that_an_earlier_try_was_carried_out(
    client: Client, answers: Callable[..., respx.Route], reply: Reply
) -> None:
    route = answers(reply, DUPLICATE, FAULT)
    with pytest.raises(RacingDuplicate):
        await create(client, Repeat.TELLING)
    assert route.call_count == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(PAGE, BadReply), (FAULT, ServerFault), (DUPLICATE, RacingDuplicate)],
    ids=["page", "fault", "duplicate"],
)
async def test_a_server_that_keeps_failing_on_one_call_is_asked_a_few_times_only(
    client: Client, answers: Callable[..., respx.Route], clock: VirtualClock, reply: Reply, kind: type[Exception]
) -> None:
    route = answers(reply)
    with pytest.raises(kind):
        await create(client, Repeat.SAFE)
    assert route.call_count == client.patience.fault_tries
    assert sum(clock.slept) < 10.0


@pytest.mark.parametrize("repeat", [Repeat.SAFE, Repeat.ONCE])
async def test_a_page_in_place_of_a_reply_is_told_in_words_with_who_may_have_sent_it(
    client: Client, answers: Callable[..., respx.Route], repeat: Repeat
) -> None:
    answers(PAGE)
    with pytest.raises(CallError) as raised:
        await create(client, repeat)
    assert raised.value.cause == "not a reply of MLflow"
    assert raised.value.remedy.startswith("A login page or a gateway may have answered in place of the destination: ")


def test_every_cause_is_in_plain_words() -> None:
    def below(kind: type[CallError]) -> list[type[CallError]]:
        return [kind, *(one for sub in kind.__subclasses__() for one in below(sub))]

    kinds = below(CallError)
    assert len({kind.words for kind in kinds}) == len(kinds)
    assert not [kind for kind in kinds if kind.__name__ in kind.words]
    assert BadReply("It is a page.").cause == "not a reply of MLflow"
    assert BadReply("It is a page.", cause="its own").cause == "its own"


async def test_tries_at_a_server_that_was_away_do_not_count_as_failures(
    client: Client, answers: Callable[..., respx.Route]
) -> None:
    away = [httpx.ConnectError("refused")] * 10
    route = answers(*away, GATEWAY, FAULT, PAGE, OK)
    assert await create(client, Repeat.SAFE) == Run("7")
    assert route.call_count == 14


@pytest.mark.parametrize("reply", [httpx.ConnectError("refused"), SLOW_DOWN, LOCKED, BROKEN_OFF, GATEWAY, OVERLOADED])
async def test_a_server_that_stays_away_ends_the_run_when_the_patience_does(
    client: Client, answers: Callable[..., respx.Route], clock: VirtualClock, reply: Reply
) -> None:
    route = answers(reply)
    with pytest.raises(TemporaryTrouble, match="the destination did not answer for 600 s"):
        await create(client, Repeat.SAFE)
    assert client.patience.seconds <= sum(clock.slept) <= client.patience.seconds + LONGEST_PAUSE
    assert max(clock.slept) <= LONGEST_PAUSE
    assert route.call_count > client.patience.seconds / LONGEST_PAUSE


async def test_replies_that_get_lost_for_that_long_are_a_matter_of_the_one_call(
    client: Client, answers: Callable[..., respx.Route]
) -> None:
    answers(httpx.ReadError("reset"))
    with pytest.raises(Lost, match="the connection broke"):
        await create(client, Repeat.SAFE)


async def test_without_patience_there_is_one_try(client: Client, answers: Callable[..., respx.Route]) -> None:
    client.patience = Patience(seconds=0.0)
    route = answers(httpx.ConnectError("refused"))
    with pytest.raises(TemporaryTrouble):
        await create(client, Repeat.ONCE)
    assert route.call_count == 1


async def test_a_time_to_wait_is_kept_before_the_next_try(
    client: Client, answers: Callable[..., respx.Route], clock: VirtualClock
) -> None:
    answers(httpx.Response(429, headers={"retry-after": "90"}), OK)
    await create(client, Repeat.ONCE)
    assert clock.now == pytest.approx(1090.0)


@pytest.mark.parametrize("reply", [SLOW_DOWN, LOCKED, GATEWAY, OVERLOADED, httpx.ReadTimeout("late")])
async def test_a_server_that_has_too_much_to_do_gets_fewer_requests_at_once(
    client: Client, answers: Callable[..., respx.Route], reply: Reply
) -> None:
    answers(reply, OK)
    await create(client, Repeat.SAFE)
    assert client.limiter.width < START


def stored(client: Client, content: bytes) -> list[httpx.Request]:
    """Make the server give a file; return the list in which its requests will stand.

    (A router reads every reply whole before it passes it on, so it cannot play the part of a stream.)
    """
    seen: list[httpx.Request] = []

    def file(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(content))

    client.http = httpx.AsyncClient(base_url="http://server.example", transport=httpx.MockTransport(file))
    return seen


async def test_requests_tries_and_bytes_are_counted(client: Client, answers: Callable[..., respx.Route]) -> None:
    answers(GATEWAY, OK, httpx.Response(200))
    await create(client, Repeat.SAFE)
    await client.upload("PUT", "file", b"123", 3)
    stored(client, b"12345")
    async with client.download("file") as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"12345"
    traffic = client.traffic
    assert (traffic.requests, traffic.retries, traffic.sent, traffic.received) == (4, 1, 3, 5)


async def test_a_refused_upload_counts_no_bytes(client: Client, answers: Callable[..., respx.Route]) -> None:
    answers(ILLEGAL)
    with pytest.raises(Refused):
        await client.upload("PUT", "file", b"123", 3)
    assert client.traffic.sent == 0


async def test_a_download_asks_for_the_stored_bytes_and_passes_them_on_as_they_come(client: Client) -> None:
    packed = gzip.compress(b"a file that is stored packed")
    requests = stored(client, packed)
    async with client.download("file.gz") as chunks:
        assert b"".join([chunk async for chunk in chunks]) == packed
    assert [request.headers["accept-encoding"] for request in requests] == ["identity"]


async def test_a_reply_that_was_used_is_gone_at_once(client: Client) -> None:
    stored(client, b"a page of a listing, a megabyte long")
    gc.disable()
    try:
        reply = weakref.ref(await client._send(client.http.build_request("GET", PATH), "destination GET", PATH))
        assert reply() is None
    finally:
        gc.enable()


async def test_a_reply_that_cannot_be_unpacked_is_no_crash(client: Client, router: respx.Router) -> None:
    broken = httpx.ByteStream(b"\x1f\x8b\x08 and then nonsense")
    router.route().mock(side_effect=lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=broken))
    with pytest.raises(BadReply, match="cannot be unpacked"):
        await create(client, Repeat.SAFE)


async def test_numbers_that_json_has_not_arrive_as_texts_and_texts_as_they_are(
    client: Client, answers: Callable[..., respx.Route]
) -> None:
    answers(httpx.Response(200, content=rb'{"values": [NaN, 1.5, -Infinity], "text": "\"NaN, [Infinity]\\"}'))
    reply = await client.call("GET", PATH, Odd)
    assert reply == Odd(("NaN", 1.5, "-Infinity"), '"NaN, [Infinity]\\')


class Page(msgspec.Struct, frozen=True):
    """One page of a search."""

    names: tuple[str, ...] = ()
    next_page_token: str | None = None


def pages(*tokens: str | None) -> list[httpx.Response]:
    """Return pages that hold their number, each with the token of the next."""
    return [
        httpx.Response(200, json={"names": [str(number)], "next_page_token": token})
        for number, token in enumerate(tokens)
    ]


def listing(client: Client, method: str) -> AsyncIterator[Page]:
    """Return the pages of a search by POST or by GET."""
    server = Server(client, "http://server.example")
    if method == "POST":
        return server.search("runs/search", {"max_results": 1}, Page, lambda page: page.next_page_token)
    return server.list("artifacts/list", [("path", "a b")], Page, lambda page: page.next_page_token)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("last", [None, ""])
async def test_pages_come_until_there_is_no_token(
    client: Client, answers: Callable[..., respx.Route], method: str, last: str | None
) -> None:
    route = answers(*pages("b", "c", last))
    assert [page.names async for page in listing(client, method)] == [("0",), ("1",), ("2",)]
    assert route.call_count == 3
    assert b"page_token" not in route.calls[0].request.content + route.calls[0].request.url.query
    assert b"b" in route.calls[1].request.content + route.calls[1].request.url.query.partition(b"page_token=")[2]


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("before", [("b",), ("b", "c")], ids=["at once", "in a circle"])
async def test_a_page_that_names_a_token_which_was_there_is_asked_for_again(
    client: Client, answers: Callable[..., respx.Route], method: str, before: tuple[str, ...]
) -> None:
    *good, bad = pages(*before, "b")
    route = answers(*good, bad, bad, *pages(None))
    assert [page.names async for page in listing(client, method)] == [*(page_names(one) for one in good), ("0",)]
    asked = [call.request.content + call.request.url.query for call in route.calls]
    assert asked[-3:] == [asked[-1]] * 3


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("circle", [("b",), ("b", "c"), ("b", "c", "d")], ids=len)
async def test_a_listing_whose_tokens_go_round_for_ever_ends_with_an_error(
    client: Client, answers: Callable[..., respx.Route], method: str, circle: tuple[str, ...]
) -> None:
    route = answers(*pages(*circle * 50))
    listed = 0
    with pytest.raises(BadReply, match="would never end"):
        async for _ in listing(client, method):
            listed += 1
    assert listed == len(circle)
    assert route.call_count == len(circle) + client.patience.fault_tries


def page_names(reply: httpx.Response) -> tuple[str, ...]:
    """Return what a page holds."""
    return msgspec.json.decode(reply.content, type=Page).names
