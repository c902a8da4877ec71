"""``bulkexim id-map``."""

from __future__ import annotations

from pathlib import Path

import click

from bulkexim.cli.help_text import WrittenHelp
from bulkexim.cli.options import work_dir

FORMATS = click.Choice(["csv", "json"])


@click.command("id-map", cls=WrittenHelp, short_help="Write which id became which.")
@work_dir
@click.option("--format", "form", type=FORMATS, default="csv", show_default=True, help="CSV, or a JSON array.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, such as run; repeat it for more.")
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write.  [default: stdout, as is -]"
)
def id_map(work_dir: Path, form: str, kinds: tuple[str, ...], output: Path | None) -> None:
    """Write source id, destination id and kind of everything that exists at the destination."""
    from bulkexim.cli import id_map_text  # noqa: PLC0415 - the help does without the ledger

    id_map_text.write(work_dir, form, kinds, None if output == Path("-") else output)
