"""``bulkexim verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulkexim.cli.end_options import CONFIG, LEVELS, names, output, running, selection, servers, traffic
from bulkexim.cli.failures import Failures
from bulkexim.cli.options import GroupedCommand, group

closeness = group("How closely")


@click.command("verify", cls=GroupedCommand, short_help="Compare both servers object by object.")
@servers()
@closeness("--level", "verify", type=LEVELS, help="What is compared, see above.  [default: content]")
@selection()
@names()
@running(
    "--work-dir",
    metavar="DIR",
    help="Directory for logs; a ledger there tells which side changed.  [default: .bulkexim]",
)
@running("--config", "config_path", type=CONFIG, metavar="FILE", help="TOML file with these settings.")
@traffic()
@output("--progress", type=click.Choice(["auto", "live", "plain", "off"]), help="View on stderr.  [default: auto]")
@output("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def verify(
    ctx: click.Context, /, *, config_path: Path | None, progress: str | None, as_json: bool | None, **flags: Any
) -> None:
    r"""Compare what was selected at the source with what is at the destination; write nothing at either.

    Give the servers and the selection of the migration. Both ends are read afresh: objects are paired by their markers
    at the destination, never by the ledger; that one only helps to say, of a file that differs, which side changed.

    \b
    Levels:
      counts   is every object there, once, and nothing besides
      content  every field, tag, alias, metric point and link; names and sizes of files
      full     every byte of every file at both ends, too

    \b
    Exit codes: 0 equal, 4 different, 3 no difference but some objects could not be read (5: perhaps the next time),
    2 wrong usage, 5 temporary trouble, 7 fatal, 130 interrupted.
    """
    from bulkexim.cli import verifying  # noqa: PLC0415 - the help does without the engine

    failures = ctx.ensure_object(Failures)
    ctx.exit(verifying.verify(failures, flags, config_path, progress=progress or "auto", as_json=bool(as_json)))
