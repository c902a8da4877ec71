"""A server that does not answer any more: told once while it lasts, told when it is over, and in the report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from bulkexim import logs
from bulkexim.cli import table
from bulkexim.cli.plain import Plain
from bulkexim.cli.views import Views
from bulkexim.config import Endpoint
from bulkexim.engine.events import Event, OutageBegan, OutageEnded
from bulkexim.engine.log_events import logging_to
from bulkexim.engine.report import Repeats
from bulkexim.errors import BulkeximError, NotFound
from bulkexim.http import outage
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.http.outage import AFTER, Answer, Outage, Trouble
from bulkexim.http.retry import Patience
from bulkexim.masking import masking
from tests.conftest import StartServer
from tests.support.faults.teller import Behaviour, Forward, Request, telling
from tests.support.faults.wire import Reply
from tests.support.migrating import migrated
from tests.support.tenant import Tenant
from tests.virtual_clock import VirtualClock

GONE = httpx.ConnectError("nothing listens at server.example:80")
GATEWAY = httpx.Response(502, text="<html><head><title>502 Bad Gateway</title></head></html>")
SLOW_DOWN = httpx.Response(429, text="slow down")
LOCKED = httpx.Response(503, json={"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is locked"})
FAULT = httpx.Response(500, text="Internal error")
MISSING = httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No run."})
OK = httpx.Response(200, json={})

Told = list[Outage | Answer]


class Wire:
    """A server that answers as it is told to, reply by reply, and by calls."""

    def __init__(self) -> None:
        self.replies: Iterator[httpx.Response | Exception] = iter(())

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        reply = next(self.replies, OK)
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, stream=httpx.ByteStream(reply.content))


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
async def client(wire: Wire, told: Told) -> AsyncIterator[Client]:
    clock = VirtualClock()
    http = httpx.AsyncClient(base_url="http://server.example", transport=httpx.MockTransport(wire))
    limiter = Limiter(clock=clock, sleep=clock.skip)
    made = Client("source", http, limiter, Patience(), sleep=clock.skip, clock=clock, watch=told.append)
    yield made
    await made.aclose()


async def call(client: Client) -> None:
    await client.call("GET", "api/2.0/mlflow/runs/get", dict[str, object])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reply", "trouble", "why"),
    [
        (GONE, Trouble.SILENT, "nothing listens at server.example:80"),
        (httpx.ReadError("reset by peer"), Trouble.SILENT, "the connection broke (reset by peer)"),
        (GATEWAY, Trouble.SILENT, "HTTP 502 Bad Gateway"),
        (SLOW_DOWN, Trouble.THROTTLING, "HTTP 429 slow down"),
        (LOCKED, Trouble.BUSY, "TEMPORARILY_UNAVAILABLE: database is locked (HTTP 503)"),
    ],
    ids=["gone", "reset", "gateway", "429", "locked"],
)
async def test_an_outage_is_told_once_after_some_seconds_and_so_is_its_end(
    client: Client, wire: Wire, told: Told, reply: httpx.Response | Exception, trouble: Trouble, why: str
) -> None:
    wire.replies = iter([reply] * 10)
    await call(client)
    began, ended = told
    assert isinstance(began, Outage) and isinstance(ended, Answer)
    assert began[:3] == ("source", trouble, why)
    assert began.patience == 600.0
    assert ended.name == "source" and AFTER < ended.seconds < 120
    silent = trouble is Trouble.SILENT
    assert (client.watched.number, client.watched.seconds) == ((1, ended.seconds) if silent else (0, 0.0))


@pytest.mark.anyio
async def test_a_short_trouble_is_not_told(client: Client, wire: Wire, told: Told) -> None:
    wire.replies = iter([GONE, GATEWAY, SLOW_DOWN])
    await call(client)
    assert (told, client.traffic.retries) == ([], 3)


@pytest.mark.anyio
async def test_a_server_that_answers_other_calls_is_there(client: Client, wire: Wire, told: Told) -> None:
    for _ in range(20):
        wire.replies = iter([GONE, GATEWAY, OK, MISSING])
        await call(client)
        with pytest.raises(NotFound):
            await call(client)
    assert told == []


@pytest.mark.anyio
async def test_a_server_that_fails_on_a_call_is_there(client: Client, wire: Wire, told: Told) -> None:
    wire.replies = iter([FAULT] * 10)
    with pytest.raises(BulkeximError):
        await call(client)
    assert told == []


@pytest.mark.anyio
async def test_a_long_retry_after_is_told_before_it_is_waited_for(client: Client, wire: Wire, told: Told) -> None:
    wire.replies = iter([httpx.Response(429, headers={"retry-after": "60"}, text="slow down")])
    await call(client)
    assert [type(one) for one in told] == [Outage, Answer]
    assert isinstance(told[1], Answer) and told[1].seconds == pytest.approx(60.0)


@pytest.mark.anyio
async def test_an_outage_that_patience_does_not_outlast_is_told_once(client: Client, wire: Wire, told: Told) -> None:
    wire.replies = iter([GONE] * 1000)
    with pytest.raises(BulkeximError, match="did not answer for 600 s"):
        await call(client)
    assert [type(one) for one in told] == [Outage]


BEGAN = OutageBegan("destination", "does not answer", "HTTP 502 Bad Gateway", 1_700_000_000.0, 600.0)
ENDED = OutageEnded("destination", 66.4)
SINCE = re.compile(
    r"the destination does not answer since \d\d:\d\d:\d\d \(HTTP 502 Bad Gateway\), waiting up to 600 s"
)


def test_the_plain_view_says_a_line_for_each() -> None:
    said: list[str] = []
    plain = Plain(said.append, lambda: 100.0)
    plain(BEGAN)
    plain(ENDED)
    assert SINCE.fullmatch(said[0].removeprefix("0:00:00  "))
    assert said[1] == "0:00:00  the destination answers again after 66 s"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal."""
    found = io.StringIO()
    console = Console(file=found, force_terminal=True, width=110, color_system=None)
    monkeypatch.setattr("bulkexim.cli.views.stderr", lambda: console)
    return found


def test_the_live_view_shows_it_while_it_lasts_and_says_when_it_is_over(screen: io.StringIO) -> None:
    views = Views("live")
    with views.show():
        views(BEGAN)
    shown = screen.getvalue()
    assert SINCE.search(shown)
    with views.show():
        views(BEGAN)
        views(ENDED)
    after = screen.getvalue().removeprefix(shown)
    assert "bulkexim: the destination answers again after 66 s" in after
    assert not SINCE.search(after.rpartition("answers again")[2])
    views(BEGAN)  # No view is shown any more.


def away(requests: int, first: int) -> Behaviour:
    """Returns the behaviour of a gateway that finds its server gone for so many requests, from one of them on."""
    left, seen = requests, 0

    async def behave(request: Request, forward: Forward) -> Reply:
        nonlocal left, seen
        seen += 1
        if seen >= first and left:
            left -= 1
            return Reply(502, [(b"content-type", b"text/html")], b"<html><title>502 Bad Gateway</title></html>")
        return await forward()

    return behave


def test_a_migration_tells_its_outages(
    small_tenant: Tenant,
    fresh_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(outage, "AFTER", 0.0)  # So that the test need not wait.
    heard: list[Event] = []
    log_path = tmp_path / "log"
    destination = fresh_server()
    with telling(destination.url, away(3, first=30)) as gateway, logs.opened(log_path, masking(())) as log:
        one_at_a_time = Endpoint(uri=gateway.url, concurrency=1)
        report = migrated(small_tenant.url, one_at_a_time, tmp_path, heard.append, logging_to(log))
    began, ended = (event for event in heard if isinstance(event, OutageBegan | OutageEnded))
    assert isinstance(began, OutageBegan) and isinstance(ended, OutageEnded)
    assert (began.server, began.trouble, began.why) == ("destination", "does not answer", "HTTP 502 Bad Gateway")
    assert (report.exit_code, report.repeats["source"]) == (0, Repeats())
    assert report.repeats["destination"] == Repeats(3, 1, ended.seconds)
    lines = [json.loads(line) for line in log_path.read_text().splitlines()]
    assert [line["server"] for line in lines if line["event"] in ("no answer", "answers again")] == ["destination"] * 2
    table.show(report, tmp_path, log_path)
    said = "The destination did not answer for 0 s (1 time); 3 requests were repeated."
    assert said in re.sub(r"for \d s", "for 0 s", capsys.readouterr().out)
