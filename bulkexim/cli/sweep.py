"""``bulkexim sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulkexim.cli.end_options import CONFIG, output, running, servers, traffic
from bulkexim.cli.failures import Failures
from bulkexim.cli.options import GroupedCommand


@click.command("sweep", cls=GroupedCommand, short_help="Show, or remove, what migrations left over.")
@servers()
@running("--yes", is_flag=True, help="Remove what is found; without it nothing is written anywhere.")
@running("--work-dir", metavar="DIR", help="Directory for ledger and logs.  [default: .bulkexim]")
@running("--config", "config_path", type=CONFIG, metavar="FILE", help="TOML file with these settings.")
@traffic()
@output("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def sweep(
    ctx: click.Context, /, *, config_path: Path | None, yes: bool | None, as_json: bool | None, **flags: Any
) -> None:
    r"""Find what migrations between these servers left at the destination, and remove it with --yes.

    A server may carry out a create long after it was given up on: then one object stands there twice. Of the two that
    stays which the ledger knows, or else the complete one. Runs and logged models go into the bin (as MLflow has it),
    without their marker; versions are deleted.

    \b
    What is found:
      doubled                one object of the source stands at the destination twice
      half made              begun and never completed, and the source does not have it any more
      not needed any more    placeholders of version numbers, and what an interrupted sweep left

    Exit codes: 0 nothing is left over, or all of it was removed, 4 something is left over, 3 some of it could not be
    removed, 2 wrong usage, 5 temporary trouble, 7 fatal, 130 interrupted.
    """
    from bulkexim.cli import sweeping  # noqa: PLC0415 - the help does without the engine

    failures = ctx.ensure_object(Failures)
    ctx.exit(sweeping.sweep(failures, flags, config_path, remove=bool(yes), as_json=bool(as_json)))
