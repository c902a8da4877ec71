"""The two views of the progress, fed with events under a clock of the test's own."""

import io

import httpx
import pytest
from rich.console import Console

from bulkexim.cli.phases import Pace
from bulkexim.cli.plain import plain
from bulkexim.cli.progress import live
from bulkexim.ends.server import Server
from bulkexim.engine.events import Finished, Found, Outcome, PhaseEnded, PhaseSized, PhaseStarted, Stepped, Uncarried
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.ids import SourceId


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server(Client("source", httpx.AsyncClient(), Limiter(ceiling=3)), "http://old")


def finished(number: int, outcome: Outcome = Outcome.MOVED) -> Finished:
    return Finished("run", SourceId(str(number)), f"run {number}", outcome, bytes=1_000_000)


def test_plain_lines_come_at_starts_at_ends_and_every_ten_seconds(clock: Clock, server: Server) -> None:
    said: list[str] = []
    listen = plain([server], said.append, clock)
    listen(PhaseStarted("run"))
    listen(Found("run", 2))
    listen(PhaseSized("run", 4))
    listen(finished(1))
    clock.now += 10
    server.client.traffic.requests = 50
    listen(finished(2, Outcome.FAILED))
    clock.now += 10
    server.client.traffic.requests = 250
    listen(finished(3))
    clock.now += 1
    listen(finished(4))
    listen(Found("run", 2))
    listen(PhaseEnded("run", 21.0))
    assert said == [
        "0:00:00  run: started",
        "0:00:10  run: 2 of 4, 2.0 MB, 1 failed; source 0 requests/s, 3 at once",
        "0:00:20  run: 3 of 4, 3.0 MB, 1 failed, 0:00:10 left; source 20 requests/s, 3 at once",
        "0:00:21  run: done, 4 of 4, 4.0 MB, 1 failed, in 0:00:21",
    ]


def test_a_second_pass_adds_to_the_first_and_an_empty_one_is_not_told(clock: Clock, server: Server) -> None:
    said: list[str] = []
    listen = plain([server], said.append, clock)
    for found in (1, 0, 1):
        listen(PhaseStarted("run"))
        listen(Found("run", found))
        listen(PhaseSized("run", found))
        if found:
            listen(finished(len(said)))
        listen(PhaseEnded("run", 0.0))
    assert said == ["0:00:00  run: started"] + [f"0:00:00  run: done, {n} of {n}, {n}.0 MB, in 0:00:00" for n in (1, 2)]


def test_the_live_view_has_a_row_for_each_phase_and_a_line_for_each_server(clock: Clock, server: Server) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with live([server], console, clock) as listen:
        for event in (
            PhaseStarted("experiment"),
            Found("experiment", 2),
            PhaseStarted("run"),
            Found("run", 1000),
            Stepped("run", SourceId("3"), "run 3", "created"),
            finished(1),
            finished(2, Outcome.FAILED),
            Uncarried("trace", 1),
        ):
            listen(event)
        clock.now += 65
        server.client.traffic.requests, server.client.traffic.received = 1234, 5_000_000
    last = screen.getvalue().rpartition("phase")[2].splitlines()
    words = [line.split() for line in last]
    assert ["experiment", "0/2", "0:01:05"] in [[word for word in row if "━" not in word] for row in words]
    assert ["run", "2/1,000", "1", "1", "2.0", "MB", "0:01:05"] in [
        [word for word in row if "━" not in word and "╸" not in word and "╺" not in word] for row in words
    ]
    assert any("source" in line and "3 at once, 1,234 so far, 5.0 MB read" in line for line in last)


def test_a_pace_is_that_of_its_window() -> None:
    pace = Pace(10.0)
    assert pace.per_second(5, 0.0) == 0.0
    assert pace.per_second(25, 10.0) == 2.0
    assert pace.per_second(125, 20.0) == 10.0
    assert pace.per_second(125, 40.0) == 0.0
