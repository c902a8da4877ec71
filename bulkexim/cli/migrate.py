"""``bulkexim migrate-workspace``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bulkexim.cli.end_options import CONFIG, LEVELS, names, output, running, selection, servers, traffic
from bulkexim.cli.failures import Failures
from bulkexim.cli.options import GroupedCommand


@click.command("migrate-workspace", cls=GroupedCommand, short_help="Move a whole tenant between two servers.")
@servers()
@selection()
@names()
@running("--dry-run", "-n", is_flag=True, help="Print what would be moved and at which cost; write nothing anywhere.")
@running("--work-dir", metavar="DIR", help="Directory for ledger and logs.  [default: .bulkexim]")
@running("--config", "config_path", type=CONFIG, metavar="FILE", help="TOML file with these settings.")
@running("--recheck", is_flag=True, help="Write again what the ledger holds for complete.")
@running("--rebuild-ledger", is_flag=True, help="Set the ledger aside, and fill a new one from the destination.")
@running("--allow-duplicates", is_flag=True, help="Move what the destination holds already under another --source-id.")
@running("--verify", type=LEVELS, help="Compare both ends afterwards, as 'bulkexim verify' does.")
@running("--repair", is_flag=True, help="Compare, then move again what is missing or differs, and compare once more.")
@traffic()
@output("--progress", type=click.Choice(["auto", "live", "plain", "off"]), help="View on stderr.  [default: auto]")
@output("--json", "as_json", is_flag=True, help="Print the report (or the plan) as JSON.")
@click.pass_context
def migrate_workspace(
    ctx: click.Context, /, *, config_path: Path | None, progress: str | None, as_json: bool | None, **flags: Any
) -> None:
    r"""Move everything, or what you select, from one MLflow server to another.

    Run the same command again to go on after an interruption, to try failed objects again, or to bring what is new:
    nothing is ever doubled.

    \b
    Examples:
      bulkexim migrate-workspace --src-uri http://old:5000 --dst-uri http://new:5000
      bulkexim migrate-workspace --src-uri ./mlruns --dst-uri https://new --dry-run
      bulkexim migrate-workspace --config team.toml --experiments 'team-*,shared' --models all

    Every option can stand in the --config file (without its dashes) and in the environment (--src-rps is
    BULKEXIM_SRC_RPS). Flags win over the environment, the environment over the file.

    \b
    Secrets belong in the environment, not on the command line:
      BULKEXIM_SRC_TOKEN, BULKEXIM_SRC_USERNAME, BULKEXIM_SRC_PASSWORD, BULKEXIM_DST_TOKEN ...
      or MLflow's own MLFLOW_TRACKING_TOKEN ..., for both sides; with BULKEXIM_SRC_ before it, for one.
    """
    from bulkexim.cli import running as job  # noqa: PLC0415 - the help does without the engine

    failures = ctx.ensure_object(Failures)
    ctx.exit(job.migrate(failures, flags, config_path, progress=progress or "auto", as_json=bool(as_json)))
