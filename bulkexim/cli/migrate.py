"""``bulkexim migrate-workspace``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bulkexim.cli.failures import Failures
from bulkexim.cli.options import GroupedCommand, group

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

servers = group("Servers")
selection = group("What is moved")
names = group("Names at the destination")
running = group("How it runs")
output = group("Output")

CONFIG = click.Path(path_type=Path)
AT_ONCE = click.IntRange(min=1)
A_SECOND = click.FloatRange(min=0, min_open=True)


def _one_text(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...] | None) -> str | None:
    return ",".join(values) if values else None


def login(prefix: str, name: str) -> Callable[[Decorated], Decorated]:
    """Return the options with which one of the two servers is entered."""
    option = group(f"Login at the {name} (better given as variables, see above)")
    return _all(
        option(f"--{prefix}-username", metavar="NAME", help="User of HTTP basic authentication."),
        option(f"--{prefix}-password", metavar="SECRET", help="Its password; others on this machine can read flags."),
        option(f"--{prefix}-token", metavar="SECRET", help="Bearer token; others on this machine can read flags."),
        option(f"--{prefix}-auth", metavar="PLUGIN", help="Name of an MLflow request_auth_provider plugin."),
        option(f"--{prefix}-insecure-tls", is_flag=True, help="Do not check the server's certificate."),
        option(f"--{prefix}-server-cert-path", metavar="FILE", help="CA bundle to check it with."),
        option(f"--{prefix}-client-cert-path", metavar="FILE", help="Client certificate with its key."),
    )


def ceilings(prefix: str, name: str) -> Callable[[Decorated], Decorated]:
    """Return the options that limit the traffic of one of the two servers."""
    option = group("Ceilings (without them it finds its own pace)")
    return _all(
        option(f"--{prefix}-concurrency", type=AT_ONCE, metavar="N", help=f"Requests at once at the {name}."),
        option(f"--{prefix}-rps", type=A_SECOND, metavar="N", help=f"Requests a second at the {name}."),
    )


def _all(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    def decorate(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command("migrate-workspace", cls=GroupedCommand, short_help="Move a whole tenant between two servers.")
@servers("--src-uri", metavar="URI", help="MLflow server to read, or a local store: ./mlruns, sqlite:///mlflow.db.")
@servers("--dst-uri", metavar="URI", help="MLflow server to write to.")
@servers("--src-workspace", metavar="NAME", help="Workspace at the source.")
@servers("--dst-workspace", metavar="NAME", help="Workspace at the destination.")
@servers("--source-id", metavar="TEXT", help="Name of the source in markers: its old address, if that changed.")
@selection("--experiments", metavar="LIST", help="Names, ids or globs, comma-separated; or a .txt file, one a line.")
@selection("--models", metavar="LIST", help="Registered models: names or globs, comma-separated; or a .txt file.")
@selection("--run-start-time", metavar="UTC", help="Only runs started then or later, such as 2026-01-31T12:00:00.")
@selection("--runs-until", metavar="UTC", help="Only runs started before.")
@selection("--include-deleted", is_flag=True, help="Deleted experiments and runs too; they arrive deleted.")
@selection("--no-artifacts", is_flag=True, help="Leave artifacts behind.")
@selection(
    "--without",
    multiple=True,
    callback=_one_text,
    metavar="KIND",
    help="Kinds to leave out, comma-separated or repeated.",
)
@names("--experiment-rename-file", metavar="FILE", help="CSV lines 'old name,new name'.")
@names("--model-rename-file", metavar="FILE", help="CSV lines 'old name,new name'.")
@running("--dry-run", "-n", is_flag=True, help="Print what would be moved and at which cost; write nothing anywhere.")
@running("--work-dir", metavar="DIR", help="Directory for ledger and logs.  [default: .bulkexim]")
@running("--config", "config_path", type=CONFIG, metavar="FILE", help="TOML file with these settings.")
@running("--recheck", is_flag=True, help="Write again what the ledger holds for complete.")
@ceilings("src", "source")
@ceilings("dst", "destination")
@login("src", "source")
@login("dst", "destination")
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
