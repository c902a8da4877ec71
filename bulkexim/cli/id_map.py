"""``bulkexim id-map``."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from bulkexim.cli.options import work_dir

FORMATS = click.Choice(["csv", "json"])
#: A file is complete when it is there: it takes its name last.
OUTPUT = click.File("w", encoding="utf-8", lazy=True, atomic=True)


@click.command("id-map", short_help="Write which id became which.")
@work_dir
@click.option("--format", "form", type=FORMATS, default="csv", show_default=True, help="CSV, or a JSON array.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, such as run; repeat it for more.")
@click.option("--output", type=OUTPUT, default="-", metavar="FILE", help="Where to write.  [default: stdout]")
def id_map(work_dir: Path, form: str, kinds: tuple[str, ...], output: TextIO) -> None:
    """Write source id, destination id and kind of everything that exists at the destination."""
    from bulkexim.cli import id_map_text  # noqa: PLC0415 - the help does without the ledger

    id_map_text.write(work_dir, form, kinds, output)
