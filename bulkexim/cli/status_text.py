"""Prints how far a migration is."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from bulkexim.cli import results, table
from bulkexim.cli.paper import grid, printer, say, size
from bulkexim.cli.standing import KindStanding, Standing, read
from bulkexim.cli.visible import visible
from bulkexim.cli.wrapped import columns
from bulkexim.ledger.queries import Queries


def show(queries: Queries, work_dir: Path, *, as_json: bool) -> None:
    """Print counts by kind, what did not arrive, and what to do next."""
    standing = read(queries, work_dir)
    if as_json:
        results.print_json(standing)
        return
    console = printer()
    say(console, f"From {standing.source} to {standing.destination}.")
    headings = ("", "found", "complete", "in\nprogress", "waiting", "failed", "skipped", "bytes")
    console.print(grid(headings, map(_row, standing.kinds)))
    if standing.report and not standing.running:
        table.show_troubles(console, standing.report)
    else:
        for cause, number in standing.causes.items():
            say(console, f"  {number:,}  {cause}")
    if standing.failed_before:
        say(console, f"Failed in earlier runs, and not tried again by the last one: {standing.failed_before:,}.")
    say(console, _now(standing, work_dir))


def _row(kind: KindStanding) -> tuple[object, ...]:
    found = f"{kind.found:,} of {kind.total:,}" if kind.total and kind.total > kind.found else f"{kind.found:,}"
    numbers = (kind.complete, kind.in_progress, kind.waiting, kind.failed, kind.skipped)
    return kind.kind, found, *numbers, size(kind.bytes)


def _now(standing: Standing, work_dir: Path) -> str:
    if standing.running:
        return f"A process is at work: {standing.left()}."
    if standing.unfinished or standing.report is None:
        return f"No process is at work: {standing.left()}. To go on, run the same migration again."
    return f"No process is at work; the last run came to its end. {table.next_step(standing.report, work_dir).text}"


def show_failures(queries: Queries, *, as_json: bool) -> None:
    """Print every object that failed the last time it was tried; as JSON, one a line."""
    console, for_people = printer(), columns(sys.stdout) is not None
    for failure in queries.failures():
        if as_json:
            click.echo(msgspec.json.encode(failure._asdict()))
        elif for_people:
            say(console, f"{failure.kind} {failure.name!r} ({failure.src_id}): {failure.cause}: {failure.error}")
        else:
            parts = (failure.kind, failure.src_id, failure.name, failure.cause, failure.error)
            click.echo("\t".join(map(visible, parts)))
