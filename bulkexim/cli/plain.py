"""Progress as plain lines, for logs of a CI or a terminal that cannot do more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from rich.filesize import decimal

from bulkexim.cli.phases import Clock, Phase, Phases, clock_text
from bulkexim.engine.events import Event, Looking, OutageBegan, OutageEnded, PhaseEnded, PhaseStarted

#: Seconds between two lines while something is at work, and for which something may go on before it is told.
EVERY = 10.0
AT_ONCE = 2.0


@dataclass(slots=True)
class Plain:
    """A listener that says a line when a phase or an outage starts and ends.

    As often as it is asked to `tick`, it also says what is going on.
    """

    say: Callable[[str], None]
    clock: Clock = time.monotonic
    phases: Phases = field(init=False)
    _began: float = field(init=False)
    _said: float = field(init=False)
    _ends_said: dict[str, int] = field(default_factory=dict)
    _told: str = ""
    _one_at_a_time: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        """Start the clock."""
        self.phases = Phases(self.clock)
        self._began = self._said = self.clock()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        with self._one_at_a_time:
            self._take(event)

    def tick(self) -> None:
        """Say what is going on, if it is time; a thread of its own may ask for it."""
        with self._one_at_a_time:
            self._say_now_and_then()

    def _take(self, event: Event) -> None:
        first = event.kind not in self.phases.known
        self.phases(event)
        match event:
            case PhaseStarted(kind=kind) | Looking(kind=kind) if first:
                self._line(f"{kind}: started")
            case PhaseEnded(kind=kind) if kind in self.phases.known:
                self._ended(self.phases.known[kind])
            case OutageBegan() | OutageEnded():
                self._line(event.text)
            case _:
                self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        now = self.clock()
        doing, phase = self.phases.doing, self.phases.current
        if doing is not None and doing.what != self._told and now - doing.since >= AT_ONCE:
            self._told = doing.what
            self._line(doing.what)
        elif now - self._said >= EVERY and (doing or phase):
            said = doing.text(now) if doing else _working(phase, now) if phase else ""
            self._line("; ".join([said, *(f"{one.name} {one.text(now)}" for one in self.phases.traffic)]))

    def _ended(self, phase: Phase) -> None:
        counts, took = phase.counts, clock_text(phase.seconds(self.clock()))
        if not phase.has_objects:
            self._line(f"{phase.kind}: done, in {took}")
        # What holds other objects is done with after them, and a later pass may find nothing more.
        elif counts.done == counts.objects != self._ends_said.get(phase.kind):
            self._ends_said[phase.kind] = counts.done
            self._line(f"{phase.kind}: done, {_counts(phase)}, in {took}")

    def _line(self, text: str) -> None:
        self._said = self.clock()
        self.say(f"{clock_text(self._said - self._began)}  {text}")


def _counts(phase: Phase) -> str:
    counts = phase.counts
    parts = [f"{counts.done:,} of {counts.objects:,}"]
    parts += [f"{counts.files:,} files"] if counts.files else []
    parts += [str(decimal(counts.bytes))] if counts.bytes else []
    parts += [f"{counts.already:,} already there"] if counts.already else []
    parts += [f"{counts.failed:,} failed"] if counts.failed else []
    return ", ".join(parts)


def _working(phase: Phase, now: float) -> str:
    if phase.part is None:
        return f"{phase.kind}: {'listing' if phase.has_objects else 'looking'} ({clock_text(phase.seconds(now))})"
    left = phase.left(now)
    parts = [f"{_counts(phase)}", f"{phase.part:.0%}"]
    parts += [f"{len(phase.counts.shares):,} begun"] if phase.counts.shares else []
    parts += [f"about {clock_text(left)} left"] if left is not None else []
    return f"{phase.kind}: {', '.join(parts)}"
