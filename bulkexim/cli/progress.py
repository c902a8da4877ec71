"""Progress as a live view on a terminal: a row for each phase, a line for each server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkexim.cli.phases import Clock, Pace, Phase, Phases, Traffic, clock_text
from bulkexim.ends.server import Server
from bulkexim.engine.events import Listener

#: Seconds over which a rate is taken: of requests, and of objects (which come in windows).
REQUEST_WINDOW = 5.0
OBJECT_WINDOW = 30.0
REFRESHES = 4
HEADINGS = ("done", "begun", "failed", "bytes", "took", "left")
#: Columns of a terminal on which a bar has its place beside the numbers.
ROOM_FOR_BARS = 96
BAR_WIDTH = 16


@contextmanager
def live(servers: Sequence[Server], console: Console, clock: Clock = time.monotonic) -> Iterator[Listener]:
    """Show a live view while the block runs, and yield the listener that feeds it."""
    phases = Phases(OBJECT_WINDOW, clock)
    traffic = [Traffic(server, Pace(REQUEST_WINDOW)) for server in servers]

    def view() -> Group:
        table = _table(list(phases.known.values()), clock(), bars=console.width >= ROOM_FOR_BARS)
        return Group(table, *(_line(one, clock()) for one in traffic))

    with Live(get_renderable=view, console=console, refresh_per_second=REFRESHES):
        yield phases


def _table(phases: list[Phase], now: float, *, bars: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("phase", no_wrap=True)
    if bars:
        table.add_column()
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for phase in phases:
        table.add_row(phase.kind, *([_bar(phase)] if bars else []), *_numbers(phase, now))
    return table


def _bar(phase: Phase) -> ProgressBar:
    return ProgressBar(total=phase.objects or None, completed=phase.done, width=BAR_WIDTH, pulse=phase.listing)


def _numbers(phase: Phase, now: float) -> tuple[str | Text, ...]:
    left = phase.left(now)
    return (
        f"{phase.done:,}/{phase.objects:,}",
        f"{len(phase.open):,}" if phase.open else "",
        Text(f"{phase.failed:,}" if phase.failed else "", style="red"),
        str(decimal(phase.bytes)) if phase.bytes else "",
        clock_text(phase.seconds(now)),
        "" if left is None else clock_text(left),
    )


def _line(one: Traffic, now: float) -> Text:
    traffic = one.server.client.traffic
    parts = [one.text(now), f"{traffic.requests:,} so far"]
    parts += [f"{decimal(traffic.received)} read"] if traffic.received else []
    parts += [f"{decimal(traffic.sent)} written"] if traffic.sent else []
    parts += [f"{traffic.retries:,} repeated"] if traffic.retries else []
    return Text(f"{one.name:<12} {', '.join(parts)}", style="dim")
