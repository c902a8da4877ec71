"""``bulkexim id-map``."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from bulkexim.cli.options import work_dir


@click.command("id-map", short_help="Write which id became which.")
@work_dir
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="CSV or JSON.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, such as run; repeat it for more.")
@click.option(
    "--output", type=click.File("w", encoding="utf-8", lazy=True, atomic=True), default="-", metavar="FILE", help="Not stdout."
)
def id_map(work_dir: Path, form: str, kinds: tuple[str, ...], output: TextIO) -> None:
    """Write source id, destination id and kind of everything that exists at the destination."""
    from bulkexim.cli import id_map_text

    id_map_text.write(work_dir, form, kinds, output)
