"""Prints how far a migration is."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from bulkexim.cli.paper import grid, printer, say, size
from bulkexim.cli.standing import KindStanding, Standing, read
from bulkexim.cli.table import command
from bulkexim.cli.visible import visible
from bulkexim.ledger.queries import Queries


def show(queries: Queries, work_dir: Path, *, as_json: bool) -> None:
    """Print counts by kind, and what to do next."""
    standing = read(queries, work_dir)
    if as_json:
        click.echo(msgspec.json.encode(standing))
        return
    console = printer()
    say(console, f"From {standing.source} to {standing.destination}.")
    headings = ("", "found", "complete", "in\nprogress", "waiting", "failed", "bytes")
    console.print(grid(headings, map(_row, standing.kinds)))
    for cause, number in standing.causes.items():
        say(console, f"  {number:,}  {cause}")
    say(console, _now(standing, work_dir))


def _row(kind: KindStanding) -> tuple[object, ...]:
    found = f"{kind.found:,} of {kind.total:,}" if kind.total and kind.total > kind.found else f"{kind.found:,}"
    return kind.kind, found, kind.complete, kind.in_progress, kind.waiting, kind.failed, size(kind.bytes)


def _now(standing: Standing, work_dir: Path) -> str:
    if standing.running:
        return f"A process is at work: {standing.left()}."
    if standing.causes:
        listing = command("status --failures", work_dir)
        return f"No process is at work. Every failure: {listing}. To try them again, run the same migration again."
    if standing.unfinished:
        return f"No process is at work: {standing.left()}. To go on, run the same migration again."
    return f"No process is at work; everything found is complete. Which id became which: {command('id-map', work_dir)}"


def show_failures(queries: Queries, *, as_json: bool) -> None:
    """Print every object that failed the last time; as JSON, one a line."""
    for failure in queries.failures():
        if as_json:
            click.echo(msgspec.json.encode(failure._asdict()))
        else:
            columns = (failure.kind, failure.src_id, failure.name, failure.cause, failure.error)
            click.echo("\t".join(map(visible, columns)))
