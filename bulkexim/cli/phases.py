"""How far each phase of a migration is, and how fast: what both views of the progress show."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bulkexim.ends.server import Server
from bulkexim.engine.counts import KindCounts
from bulkexim.engine.events import Activity, Event, Looking, OutageBegan, OutageEnded, PhaseEnded, PhaseStarted

Clock = Callable[[], float]

#: Seconds over which a rate is taken: of requests, and of work on objects (which come in windows).
REQUEST_WINDOW = 10.0
WORK_WINDOW = 120.0
#: What a guess at the time left needs: seconds of the phase, and objects (or a part of all of them) that are done with.
BASIS_SECONDS = 5.0
BASIS_OBJECTS = 3.0
BASIS_PART = 0.02


@dataclass(slots=True)
class Pace:
    """The growth of a count over the last ``window`` seconds."""

    window: float
    _samples: deque[tuple[float, float]] = field(default_factory=deque)

    def per_second(self, count: float, now: float) -> float:
        """Note ``count`` at the time ``now`` and return its growth a second."""
        while len(self._samples) > 1 and self._samples[1][0] <= now - self.window:
            self._samples.popleft()
        self._samples.append((now, count))
        began, before = self._samples[0]
        return (count - before) / (now - began) if now > began else 0.0


@dataclass(slots=True)
class Phase:
    """One kind on its way, in one or more passes; or a look at both ends, which has no objects.

    Times are on the clock of the view.
    """

    counts: KindCounts
    started: float
    has_objects: bool = True
    ended: float | None = None
    #: The pace of the work, and of everything, with what was there already.
    _paces: tuple[Pace, Pace] = field(init=False)

    def __post_init__(self) -> None:
        """Start at nothing."""
        self._paces = Pace(WORK_WINDOW), Pace(WORK_WINDOW)
        for pace in self._paces:
            pace.per_second(0, self.started)

    @property
    def kind(self) -> str:
        """The kind, as MLflow calls it."""
        return self.counts.kind

    @property
    def part(self) -> float | None:
        """How much of the work that is known of is done, from 0 to 1; steps on the way of an object count."""
        counts = self.counts
        return (counts.already + counts.skipped + counts.work) / counts.objects if counts.objects else None

    def seconds(self, now: float) -> float:
        """Return how long the phase has taken."""
        return (now if self.ended is None else self.ended) - self.started

    def left(self, now: float) -> float | None:
        """Return how many seconds it will take at the present pace; ``None`` where that would be a mere guess."""
        counts = self.counts
        there = counts.already + counts.skipped
        working, any_way = (
            pace.per_second(count, now)
            for pace, count in zip(self._paces, (counts.work, counts.work + there), strict=True)
        )
        if self.ended is not None or counts.total is None or self.seconds(now) < BASIS_SECONDS:
            return None
        # What is there already takes no time: as long as not all was listed, some of the rest may be so too.
        listed = counts.found >= counts.total
        pace, finished = (working, counts.done - there) if listed else (any_way, counts.done)
        if not pace or finished < min(BASIS_OBJECTS, counts.objects * BASIS_PART):
            return None
        return max(0.0, counts.objects - there - counts.work) / pace


@dataclass(slots=True)
class Traffic:
    """What one server is asked at present."""

    server: Server
    pace: Pace = field(default_factory=lambda: Pace(REQUEST_WINDOW))

    @property
    def name(self) -> str:
        """The word for the server."""
        return self.server.client.name

    def text(self, now: float) -> str:
        """Return requests a second and the present limit."""
        client = self.server.client
        return f"{self.pace.per_second(client.traffic.requests, now):,.0f} requests/s, {client.limiter.width} at once"


@dataclass(slots=True)
class Doing:
    """What goes on beside the phases: what it is, since when, and how many steps were made meanwhile."""

    what: str
    since: float
    steps: int = 0

    def text(self, now: float) -> str:
        """Return it as a sentence without its full stop."""
        steps = f", {self.steps:,} steps" if self.steps else ""
        return f"{self.what} ({clock_text(now - self.since)}{steps})"


@dataclass(slots=True)
class Phases:
    """A listener that keeps every phase in the order of their starts, what goes on beside them, and outages."""

    clock: Clock = time.monotonic
    known: dict[str, Phase] = field(default_factory=dict)
    doing: Doing | None = None
    traffic: list[Traffic] = field(default_factory=list)
    #: Servers that do not answer at present.
    outages: dict[str, OutageBegan] = field(default_factory=dict)

    def connect(self, servers: Sequence[Server]) -> None:
        """Show the traffic of these servers."""
        self.traffic = [Traffic(server) for server in servers]

    @property
    def current(self) -> Phase | None:
        """The phase that is at work."""
        return next((phase for phase in reversed(self.known.values()) if phase.ended is None), None)

    def __call__(self, event: Event) -> None:
        """Note an event."""
        match event:
            case Activity(what=what):
                self.doing = Doing(what, self.clock())
                return
            case OutageBegan(server=server):
                self.outages[server] = event
                return
            case OutageEnded(server=server):
                self.outages.pop(server, None)
                return
            case PhaseStarted(kind=kind) | Looking(kind=kind):
                has_objects = isinstance(event, PhaseStarted)
                phase = self.known.setdefault(kind, Phase(KindCounts(kind), self.clock(), has_objects))
                phase.ended = None  # Another pass adds to what was found before.
                self.doing = None
            case PhaseEnded(kind=kind) if kind in self.known:
                self.known[kind].ended = self.clock()
        if self.doing is not None:
            self.doing.steps += 1
        if event.kind in self.known:
            self.known[event.kind].counts.take(event)


def clock_text(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
