"""The two views of the progress, fed with events under a clock of the test's own."""

import io
from itertools import pairwise

import httpx
import pytest
from rich.console import Console

from bulkexim.cli.phases import Pace, Phases
from bulkexim.cli.plain import Plain
from bulkexim.cli.progress import live
from bulkexim.ends.server import Server
from bulkexim.engine.events import (
    Activity,
    Event,
    FilesCopied,
    Finished,
    Found,
    Looking,
    Outcome,
    PhaseEnded,
    PhaseSized,
    PhaseStarted,
    Stepped,
    Uncarried,
)
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


def stepped(number: int, state: str) -> Stepped:
    return Stepped("run", SourceId(str(number)), f"run {number}", state)


class Watched:
    """A plain view, and what it said."""

    def __init__(self, clock: Clock, server: Server) -> None:
        self.said: list[str] = []
        self.clock = clock
        self.listen = Plain(self.said.append, clock)
        self.listen.phases.connect([server])

    def at(self, seconds: float, *events: Event) -> list[str]:
        """Lets time pass, a second after the other; then come events. Returns what is said meanwhile."""
        before = len(self.said)
        while self.clock.now < 100.0 + seconds:
            self.clock.now += 1
            self.listen.tick()
        for event in events:
            self.listen(event)
        return self.said[before:]


def test_plain_lines_come_at_starts_at_ends_and_every_ten_seconds(clock: Clock, server: Server) -> None:
    view = Watched(clock, server)
    view.at(0, PhaseStarted("run"), Found("run", 2), PhaseSized("run", 4), finished(1))
    view.at(9, finished(2, Outcome.FAILED))
    server.client.traffic.requests = 50
    view.at(10)
    server.client.traffic.requests = 250
    view.at(19, finished(3))
    view.at(21, finished(4), Found("run", 2), PhaseEnded("run", 21.0))
    assert view.said == [
        "0:00:00  run: started",
        "0:00:10  run: 2 of 4, 2.0 MB, 1 failed, 50%, about 0:00:10 left; source 0 requests/s, 3 at once",
        "0:00:20  run: 3 of 4, 3.0 MB, 1 failed, 75%, about 0:00:07 left; source 20 requests/s, 3 at once",
        "0:00:21  run: done, 4 of 4, 4.0 MB, 1 failed, in 0:00:21",
    ]


def copied(number: int, files: int, size: int) -> FilesCopied:
    return FilesCopied("run", SourceId(str(number)), files, size)


def test_the_files_of_one_object_are_told_while_they_arrive(clock: Clock, server: Server) -> None:
    view = Watched(clock, server)
    view.at(0, PhaseStarted("run"), Found("run", 1), PhaseSized("run", 1), stepped(1, "created"))
    view.at(1, copied(1, 3, 400_000), copied(1, 0, 200_000))
    assert view.at(10)[-1].startswith("0:00:10  run: 0 of 1, 3 files, 600.0 kB, 20%, 1 begun; source")
    view.at(11, copied(1, 0, -200_000), copied(1, 2, 600_000), finished(1))
    assert view.at(12, PhaseEnded("run", 12.0)) == ["0:00:12  run: done, 1 of 1, 5 files, 1.0 MB, in 0:00:12"]


def test_what_goes_on_before_and_between_phases_is_told_while_it_lasts(clock: Clock, server: Server) -> None:
    view = Watched(clock, server)
    assert view.at(0, Activity("connecting to the source")) == []
    assert view.at(1, Activity("starting a server for the local store")) == []
    assert view.at(3) == ["0:00:03  starting a server for the local store"]
    assert view.at(13) == ["0:00:13  starting a server for the local store (0:00:12); source 0 requests/s, 3 at once"]
    assert view.at(14, Activity("creating each run that others need first"), stepped(1, "created")) == []
    assert view.at(30)[-1].startswith("0:00:26  creating each run that others need first (0:00:12, 1 steps); source")
    assert view.at(31, PhaseStarted("run")) == ["0:00:31  run: started"]
    assert view.at(41) == ["0:00:41  run: listing (0:00:10); source 0 requests/s, 3 at once"]
    view.at(41, PhaseEnded("run", 10.0))
    assert view.at(42, Looking()) == ["0:00:42  last look: started"]
    assert view.at(52) == ["0:00:52  last look: looking (0:00:10); source 0 requests/s, 3 at once"]
    assert view.at(53, PhaseEnded("last look", 11.0)) == ["0:00:53  last look: done, in 0:00:11"]


def test_a_second_pass_adds_to_the_first_and_an_empty_one_is_not_told(clock: Clock, server: Server) -> None:
    view = Watched(clock, server)
    for found in (1, 0, 1):
        begun = (PhaseStarted("run"), Found("run", found), PhaseSized("run", found))
        view.at(0, *begun, *([finished(len(view.said))] if found else []), PhaseEnded("run", 0.0))
    assert view.said == ["0:00:00  run: started"] + [
        f"0:00:00  run: done, {n} of {n}, {n}.0 MB, in 0:00:00" for n in (1, 2)
    ]


#: 400 runs that move side by side: all of a window are created before one is filled, and sealed late.
LOCKSTEP: list[tuple[int, Event]] = [
    *((second, stepped(10 * second + one, "created")) for second in range(30) for one in range(10)),
    *((30 + second, stepped(5 * second + one, "filled")) for second in range(60) for one in range(5)),
    *((90 + second, finished(20 * second + one)) for second in range(15) for one in range(20)),
]


def test_the_bar_moves_with_each_step_and_time_left_is_told_when_it_can_be_known(clock: Clock) -> None:
    phases = Phases(clock)
    for event in (PhaseStarted("run"), Found("run", 400), PhaseSized("run", 400)):
        phases(event)
    run = phases.known["run"]
    shown: dict[int, tuple[float, float | None]] = {}
    for second, step in LOCKSTEP:
        clock.now = 100.0 + second
        shown.setdefault(second, (run.part or 0.0, run.left(clock.now)))
        phases(step)
    parts = [part for part, _ in shown.values()]
    assert all(later > earlier for earlier, later in pairwise(parts))
    told = {second: left for second, (_, left) in shown.items() if left is not None}
    assert min(told) == 91
    # It takes 133 seconds at this pace.
    assert all(abs(second + left - 133) < 20 for second, left in told.items())


def test_what_was_there_already_says_nothing_of_the_pace(clock: Clock) -> None:
    phases = Phases(clock)
    for event in (PhaseStarted("run"), Found("run", 1000), PhaseSized("run", 1000)):
        phases(event)
    for number in range(900):
        phases(finished(number, Outcome.ALREADY))
    run = phases.known["run"]
    for second in range(20):
        clock.now = 100.0 + second
        left = run.left(clock.now)
        phases(finished(900 + second))
    assert left == pytest.approx(81.0)


def test_nothing_is_said_of_the_time_left_while_nobody_knows_how_much_there_is(clock: Clock) -> None:
    phases = Phases(clock)
    for event in (PhaseStarted("run"), Found("run", 1000)):
        phases(event)
    for number in range(60):
        clock.now += 1
        phases(finished(number))
        assert phases.known["run"].left(clock.now) is None


def on_screen(width: int, clock: Clock, server: Server) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    with live(console, clock) as listen:
        listen.connect([server])
        for event in (
            Activity("reading what is selected"),
            PhaseStarted("experiment"),
            Found("experiment", 2),
            PhaseStarted("run"),
            Found("run", 1000),
            stepped(3, "created"),
            copied(1, 12, 900_000),
            finished(1),
            finished(2, Outcome.FAILED),
            Uncarried("trace", 1),
            Activity("counting what stays at the source"),
        ):
            listen(event)
        clock.now += 65
        server.client.traffic.requests, server.client.traffic.received = 1234, 5_000_000
    return screen.getvalue().rpartition("phase")[2].splitlines()


def test_the_live_view_has_a_row_for_each_phase_and_a_line_for_each_server(clock: Clock, server: Server) -> None:
    last = on_screen(110, clock, server)
    words = [[word for word in line.split() if not set(word) & set("━╸╺")] for line in last]
    assert ["experiment", "0/2", "0:01:05"] in words
    assert ["run", "2/1,000", "1", "1", "12", "2.0", "MB", "0:01:05"] in words
    assert any("counting what stays at the source (0:01:05)" in line for line in last)
    assert any("source" in line and "3 at once, 1,234 so far, 5.0 MB read" in line for line in last)


@pytest.mark.parametrize("width", [80, 60, 40])
def test_on_a_narrow_terminal_columns_are_left_out_and_no_word_is_broken(
    clock: Clock, server: Server, width: int
) -> None:
    last = on_screen(width, clock, server)
    assert all(len(line.rstrip()) <= width and "…" not in line for line in last)
    assert any("run" in line and "2/1,000" in line for line in last)
    words = " ".join(" ".join(last).split())
    assert "counting what stays at the source (0:01:05)" in words
    assert "3 at once, 1,234 so far, 5.0 MB read" in words


def test_a_pace_is_that_of_its_window() -> None:
    pace = Pace(10.0)
    assert pace.per_second(5, 0.0) == 0.0
    assert pace.per_second(25, 10.0) == 2.0
    assert pace.per_second(125, 20.0) == 10.0
    assert pace.per_second(125, 40.0) == 0.0
