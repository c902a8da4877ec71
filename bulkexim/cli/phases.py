"""How far each phase of a migration is, and how fast: what both views of the progress show."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from bulkexim.ends.server import Server
from bulkexim.engine.events import (
    Event,
    Finished,
    Found,
    Looking,
    Outcome,
    PhaseEnded,
    PhaseSized,
    PhaseStarted,
    Stepped,
)

Clock = Callable[[], float]


@dataclass(slots=True)
class Pace:
    """The growth of a count over the last ``window`` seconds."""

    window: float
    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def per_second(self, count: int, now: float) -> float:
        """Note ``count`` at the time ``now`` and return its growth a second."""
        while len(self._samples) > 1 and self._samples[1][0] <= now - self.window:
            self._samples.popleft()
        self._samples.append((now, count))
        began, before = self._samples[0]
        return (count - before) / (now - began) if now > began else 0.0


@dataclass(slots=True)
class Phase:
    """One kind on its way, in one or more passes. Times are on the clock of the view."""

    kind: str
    started: float
    pace: Pace
    total: int = 0
    ended: float | None = None
    found: int = 0
    done: int = 0
    already: int = 0
    failed: int = 0
    bytes: int = 0
    #: Objects that were begun and are not done with.
    open: set[str] = field(default_factory=set)

    @property
    def objects(self) -> int:
        """How many objects there are, as far as is known."""
        return max(self.found, self.total)

    @property
    def listing(self) -> bool:
        """Whether nothing is known of its objects yet."""
        return not self.objects and self.ended is None

    def seconds(self, now: float) -> float:
        """Return how long the phase has taken."""
        return (now if self.ended is None else self.ended) - self.started

    def left(self, now: float) -> float | None:
        """Return how many seconds it will take at the present pace, where that can be said."""
        pace = self.pace.per_second(self.done, now)
        return (self.objects - self.done) / pace if pace and self.ended is None else None


@dataclass(slots=True)
class Phases:
    """A listener that keeps every phase in the order of their starts; ``window`` is in seconds."""

    window: float
    clock: Clock = time.monotonic
    known: dict[str, Phase] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Note an event."""
        if isinstance(event, PhaseStarted | Looking):
            phase = self.known.setdefault(event.kind, Phase(event.kind, self.clock(), Pace(self.window)))
            phase.ended = None  # Another pass adds to what was found before.
        elif event.kind in self.known:
            self._note(self.known[event.kind], event)

    def _note(self, phase: Phase, event: Event) -> None:
        match event:
            case PhaseSized(total=total):
                phase.total = total
            case Found(objects=objects):
                phase.found += objects
            case Stepped():
                phase.open.add(event.id)
            case Finished():
                phase.open.discard(event.id)
                phase.done += 1
                phase.bytes += event.bytes
                phase.already += event.outcome is Outcome.ALREADY
                phase.failed += event.outcome is Outcome.FAILED
            case PhaseEnded():
                phase.ended = self.clock()
            case _:
                pass


@dataclass(slots=True)
class Traffic:
    """What one server is asked at present."""

    server: Server
    pace: Pace

    @property
    def name(self) -> str:
        """The word for the server."""
        return self.server.client.name

    def text(self, now: float) -> str:
        """Return requests a second and the present limit."""
        client = self.server.client
        return f"{self.pace.per_second(client.traffic.requests, now):,.0f} requests/s, {client.limiter.width} at once"


def clock_text(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
