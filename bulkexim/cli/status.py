"""``bulkexim status``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from bulkexim.cli.help_text import WrittenHelp
from bulkexim.cli.options import work_dir


@click.command(cls=WrittenHelp, short_help="Say how far a migration is.")
@work_dir
@click.option("--failures", "list_failures", is_flag=True, help="List every object that failed, with its cause.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(work_dir: Path, *, list_failures: bool, as_json: bool) -> None:
    """Say how far a migration is, as its ledger tells: while another process works, or afterwards."""
    from bulkexim.cli import status_text  # noqa: PLC0415 - the help does without the ledger
    from bulkexim.ledger.queries import look  # noqa: PLC0415

    with closing(look(work_dir)) as queries:
        if list_failures:
            status_text.show_failures(queries, as_json=as_json)
        else:
            status_text.show(queries, work_dir, as_json=as_json)
