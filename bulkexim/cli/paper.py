"""What tables and sentences are printed on: a terminal of some width, or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.filesize import decimal
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bulkexim.cli.visible import visible
from bulkexim.cli.wrapped import columns, wrapped

#: Columns of a page that nobody's terminal limits: a file, a pipe, the log of a CI.
PAGE_WIDTH = 120
USUAL_HEIGHT = 25
#: More columns than any table needs.
UNBOUNDED = 10_000


def printer() -> Console:
    """Return a console on stdout that prints names as they are."""
    width = columns(sys.stdout) or PAGE_WIDTH
    # Without a height Rich takes a terminal that it does not know for one of 80 columns.
    return Console(markup=False, highlight=False, emoji=False, width=width, height=USUAL_HEIGHT)


def say(console: Console, text: str = "") -> None:
    """Print a line: wrapped at spaces on a terminal; in a file nobody cuts it.

    A line break in it belongs to a name of the tenant, and is shown like any other control character.
    """
    console.print(wrapped(visible(text), columns(console.file)), soft_wrap=True)  # type: ignore[arg-type]


def size(number: int) -> str:
    """Return a number of bytes for people."""
    return str(decimal(number)) if number else "0"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table whose first column names the row and whose others hold numbers; sentences where it finds no room."""

    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    totals: Sequence[object] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Choose the form that fits."""
        table = self._table()
        if Measurement.get(console, options.update(max_width=UNBOUNDED), table).maximum <= options.max_width:
            lines: list[Table | Text] = [table]
        else:
            rows = [*self.rows, *([self.totals] if self.totals else [])]
            said = [wrapped(self._sentence(row), options.max_width) for row in rows]
            lines = [Text(line, no_wrap=True, overflow="ignore") for line in said]
        yield from [Text(), *lines, Text()]

    def _table(self) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, show_footer=bool(self.totals)
        )
        for number, heading in enumerate(self.headings):
            footer = _cell(self.totals[number]) if self.totals else ""
            table.add_column(heading, footer, justify="right" if number else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*map(_cell, row))
        return table

    def _sentence(self, row: Sequence[object]) -> str:
        name, *cells = map(_cell, row)
        pairs = zip(cells, self.headings[1:], strict=True)
        # A number of bytes has its unit with it.
        told = [
            cell if cell[-1].isalpha() else f"{cell} {' '.join(heading.split())}"
            for cell, heading in pairs
            if cell not in ("0", "0.0", "")
        ]
        return f"  {name}: {', '.join(told) or 'nothing'}"


def counted(number: int, thing: str) -> str:
    """Return a number with what it counts: "1 object", "2 objects"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def grid(headings: Sequence[str], rows: Iterable[Sequence[object]], totals: Sequence[object] = ()) -> Grid:
    """Return a table for `Console.print`."""
    return Grid(headings, list(rows), totals)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
