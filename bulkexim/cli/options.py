"""Options that stand under headings in the help of their command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bulkexim.cli.help_text import WrittenHelp

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

#: Characters of a path that a sentence repeats.
SHOWN = 200


def _possible(_ctx: click.Context, _param: click.Parameter, path: Path) -> Path:
    try:
        path.stat()
    except FileNotFoundError:
        return path  # It is told by what would read it.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise click.BadParameter(f"{str(path)[:SHOWN]!r} cannot be looked at ({reason}). Give another one.") from error
    return path


#: For commands that read a ledger.
work_dir = click.option(
    "--work-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=".bulkexim",
    envvar="BULKEXIM_WORK_DIR",
    callback=_possible,
    show_default=True,
    help="Directory with ledger and logs of the migration.",
)


class GroupedOption(click.Option):
    """An option that knows the heading it belongs under."""

    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(WrittenHelp):
    """A command whose help lists its options under headings, in the order of their first option."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each group of options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "group", "Options"), []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


def group(name: str) -> Callable[..., Callable[[Decorated], Decorated]]:
    """Return `click.option` for the heading ``name``; a flag that is not given reads ``None``."""

    def option(*declarations: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
        return click.option(*declarations, cls=GroupedOption, group=name, default=None, **attributes)

    return option
