"""``bulkexim demo``."""

from __future__ import annotations

from functools import partial

import anyio
import click

from bulkexim.cli.help_text import WrittenHelp
from bulkexim.cli.interrupt import interruptible
from bulkexim.cli.paper import grid, printer, say
from bulkexim.cli.table import show_kinds
from bulkexim.demo.show import Shown, show


@click.command(cls=WrittenHelp, short_help="Move MLflow's demo data between two servers of its own.")
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Show a migration from end to end, with no set-up.

    Starts two MLflow servers on this machine, fills one with MLflow's own demo data and with a model of twelve
    versions (the fifth deleted, an alias on the eleventh), moves everything to the other, and sets both side by side.
    Takes about a minute; nothing is left behind.
    """
    shown = anyio.run(_show)
    _print(shown)
    ctx.exit(0 if shown.good else 3)


async def _show() -> Shown:
    tell = partial(click.echo, err=True)
    return await interruptible(lambda: show(tell), tell)


def _print(shown: Shown) -> None:
    console = printer()
    console.print(
        grid(("", "source", "destination", ""), [(*line, "=" if line.equal else "DIFFERS") for line in shown.lines])
    )
    show_kinds(console, shown.first)
    again = sum(kind.moved for kind in shown.second.kinds)
    say(console, f"A second run of the same command moved {again} objects.")
    say(console, "Equal at both ends." if shown.good else "The two ends differ.")
    say(console, "Next: bulkexim migrate-workspace --src-uri http://old:5000 --dst-uri http://new:5000 --dry-run")
