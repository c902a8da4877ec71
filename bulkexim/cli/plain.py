"""Progress as plain lines, for logs of a CI or a terminal that cannot do more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.filesize import decimal

from bulkexim.cli.phases import Clock, Pace, Phase, Phases, Traffic, clock_text
from bulkexim.ends.server import Server
from bulkexim.engine.events import Event, Listener, Looking, PhaseEnded, PhaseStarted

#: Seconds between two lines while a phase is at work; rates are taken over three of them.
EVERY = 10.0
WINDOW = 3 * EVERY


def plain(servers: Sequence[Server], say: Callable[[str], None], clock: Clock = time.monotonic) -> Listener:
    """Return a listener that says a line when a phase starts and ends, and now and then between, as things happen."""
    phases = Phases(WINDOW, clock)
    traffic = [Traffic(server, Pace(WINDOW)) for server in servers]
    ends_said: dict[str, int] = {}
    began = said = clock()

    def listen(event: Event) -> None:
        first = event.kind not in phases.known
        phases(event)
        now = clock()
        match event:
            case PhaseStarted(kind=kind) | Looking(kind=kind) if first:
                line(now, f"{kind}: started")
            case PhaseEnded(kind=kind):
                phase = phases.known[kind]
                # What holds other objects is done with after them, and a later pass may find nothing more.
                if phase.done == phase.objects != ends_said.get(kind):
                    ends_said[kind] = phase.done
                    line(now, f"{kind}: done, {_counts(phase)}, in {clock_text(phase.seconds(now))}")
            case _ if now - said >= EVERY and event.kind in phases.known:
                phase = phases.known[event.kind]
                line(now, "; ".join([_working(phase, now), *(f"{one.name} {one.text(now)}" for one in traffic)]))

    def line(now: float, text: str) -> None:
        nonlocal said
        said = now
        say(f"{clock_text(now - began)}  {text}")

    return listen


def _counts(phase: Phase) -> str:
    parts = [f"{phase.done:,} of {phase.objects:,}"]
    parts += [str(decimal(phase.bytes))] if phase.bytes else []
    parts += [f"{phase.already:,} already there"] if phase.already else []
    parts += [f"{phase.failed:,} failed"] if phase.failed else []
    return ", ".join(parts)


def _working(phase: Phase, now: float) -> str:
    left = phase.left(now)
    return f"{phase.kind}: {_counts(phase)}" + (f", {clock_text(left)} left" if left is not None else "")
