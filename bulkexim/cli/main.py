"""The command ``bulkexim``. A command is imported when it is used, so that the help comes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from bulkexim.cli.collector import collect_seldom
from bulkexim.cli.failures import Failures
from bulkexim.cli.help_text import WIDEST, WrittenHelp
from bulkexim.cli.streams import safe
from bulkexim.cli.wrapped import columns, wrapped
from bulkexim.errors import unwritable
from bulkexim.platforms import check_platform


class Entry(NamedTuple):
    """Where a command is, and its line in the help."""

    home: str
    help: str


COMMANDS = {
    "demo": Entry("bulkexim.cli.demo:demo", "Move MLflow's demo data between two servers of its own; no set-up."),
    "migrate-workspace": Entry(
        "bulkexim.cli.migrate:migrate_workspace", "Move experiments, runs, artifacts, models and versions."
    ),
    "verify": Entry("bulkexim.cli.verify:verify", "Compare both servers object by object; write nothing."),
    "sweep": Entry(
        "bulkexim.cli.sweep:sweep", "Show what migrations left over at the destination; remove it on demand."
    ),
    "status": Entry("bulkexim.cli.status:status", "Say how far a migration is, while it runs or afterwards."),
    "id-map": Entry("bulkexim.cli.id_map:id_map", "Write which id became which, as CSV or JSON."),
}


class Door(WrittenHelp, click.Group):
    """A group that imports its commands late and tells every failure in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].home.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line from end to end, and exit with the code that README lists."""
        failures = Failures()
        with safe() as out:
            code = failures.code_of(lambda: self._run(*args, **extra, obj=failures))
            sys.stdout.flush()
            if out.trouble is not None:
                unwritten = failures.told(unwritable("The output", out.trouble, "Send it to another place."))
                code = code or unwritten
        sys.exit(code)

    def _run(self, *args: Any, **extra: Any) -> object:
        check_platform()
        return super().main(*args, **(extra | {"standalone_mode": False}))

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was asked for."""
        collect_seldom()
        _warn_of_strangers(os.environ)
        return super().invoke(ctx)


def _warn_of_strangers(environ: Mapping[str, str]) -> None:
    """Say which variables were meant for us, and are none of ours."""
    if not any(name.startswith("BULKEXIM_") for name in environ):
        return
    from bulkexim.given_settings import strangers  # noqa: PLC0415 - most know no variable, and the help comes at once

    for sentence in strangers(environ):
        click.echo(wrapped(f"bulkexim: warning: {sentence}", columns(sys.stderr)), err=True)


@click.command(cls=Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST})
@click.version_option(package_name="bulkexim", prog_name="bulkexim")
def main() -> None:
    r"""Move whole MLflow tenants between servers: nothing lost, nothing doubled.

    \b
      bulkexim migrate-workspace --src-uri http://old:5000 --dst-uri http://new

    Exit codes: 0 everything is accounted for, 2 wrong usage, 3 finished but some objects failed,
    4 the two ends differ or something is in excess, 5 temporary trouble (run the same command again), 7 fatal,
    130 interrupted (143 by SIGTERM), 1 a bug of bulkexim.
    """
