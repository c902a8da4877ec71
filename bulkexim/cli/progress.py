"""Progress as a live view on a terminal: a row for each phase, a line for each server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkexim.cli.phases import Clock, Phase, Phases, Traffic, clock_text

REFRESHES = 4
#: Columns of the table, the most important first: those that find no room are left out.
WIDTHS = {"done": 15, "left": 9, "": 18, "failed": 9, "took": 9, "bytes": 11, "begun": 8, "files": 9}
ORDER = ("", "done", "begun", "failed", "files", "bytes", "took", "left")
KIND_WIDTH = 16
BAR_WIDTH = 16


@contextmanager
def live(console: Console, clock: Clock = time.monotonic) -> Iterator[Phases]:
    """Show a live view while the block runs, and yield the listener that feeds it."""
    phases = Phases(clock)

    def view() -> Group:
        now = clock()
        shown = [_table(phases, now, console.width)] if phases.known else []
        doing = [Text(phases.doing.text(now))] if phases.doing else []
        silent = [Text(outage.text, style="yellow") for outage in list(phases.outages.values())]
        return Group(*shown, *doing, *(_line(one, now) for one in phases.traffic), *silent)

    with Live(get_renderable=view, console=console, refresh_per_second=REFRESHES):
        yield phases


def _table(phases: Phases, now: float, width: int) -> Table:
    headings = _headings(width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("phase", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for phase in phases.known.values():
        table.add_row(phase.kind, *(_cell(phase, heading, now) for heading in headings))
    return table


def _headings(width: int) -> list[str]:
    room, chosen = width - KIND_WIDTH, set()
    for heading, needed in WIDTHS.items():
        if needed <= room:
            chosen.add(heading)
            room -= needed
    return [heading for heading in ORDER if heading in chosen]


def _cell(phase: Phase, heading: str, now: float) -> ProgressBar | Text | str:
    counts = phase.counts
    match heading:
        case "":
            return _bar(phase)
        case "done":
            return f"{counts.done:,}/{counts.objects:,}" if phase.has_objects else ""
        case "begun":
            return f"{len(counts.shares):,}" if counts.shares else ""
        case "failed":
            return Text(f"{counts.failed:,}" if counts.failed else "", style="red")
        case "files":
            return f"{counts.files:,}" if counts.files else ""
        case "bytes":
            return str(decimal(counts.bytes)) if counts.bytes else ""
        case "took":
            return clock_text(phase.seconds(now))
    left = phase.left(now)
    return "" if left is None else clock_text(left)


def _bar(phase: Phase) -> ProgressBar:
    """Return a bar that moves with each step of an object, and goes to and fro while nothing is known of any."""
    if phase.part is None and phase.ended is None:
        return ProgressBar(total=None, width=BAR_WIDTH, pulse=True)
    return ProgressBar(total=1.0, completed=1.0 if phase.part is None else phase.part, width=BAR_WIDTH)


def _line(one: Traffic, now: float) -> Text:
    traffic = one.server.client.traffic
    parts = [one.text(now), f"{traffic.requests:,} so far"]
    parts += [f"{decimal(traffic.received)} read"] if traffic.received else []
    parts += [f"{decimal(traffic.sent)} written"] if traffic.sent else []
    parts += [f"{traffic.retries:,} repeated"] if traffic.retries else []
    return Text(f"{one.name:<12} {', '.join(parts)}", style="dim")
