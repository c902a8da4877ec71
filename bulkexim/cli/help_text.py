"""How help is written: the lines of examples and lists stay, and nothing breaks inside a word."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import click

from bulkexim.cli.wrapped import wrapped

WIDEST, NARROWEST = 110, 20
#: Columns that a word and its explanation have beside each other.
ROOM_FOR_TWO = 56
FIRST_COLUMN = 30


class Formatter(click.HelpFormatter):
    """Writes help for the width of the terminal."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        there = min(shutil.get_terminal_size().columns, max_width or WIDEST)
        super().__init__(indent_increment, width or max(there, NARROWEST), max_width)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the first line."""
        self._write_line(f"{prefix or 'Usage: '}{prog} {args}".rstrip())

    def write_heading(self, heading: str) -> None:
        """Write the line above a list."""
        self._write_line(f"{heading}:")

    def write_text(self, text: str) -> None:
        r"""Write paragraphs; those that begin with a line of ``\b`` keep their lines."""
        for number, paragraph in enumerate(text.split("\n\n")):
            lines = paragraph.split("\n")
            self.write("\n" if number else "")
            for line in lines[1:] if lines[0].strip() == "\b" else [" ".join(map(str.strip, lines))]:
                self._write_line(line)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = FIRST_COLUMN, col_spacing: int = 2) -> None:
        """Write words and their explanations, beside each other where there is room."""
        pairs = list(rows)
        beside = self.width >= ROOM_FOR_TWO
        column = min(col_max, max(len(word) for word, _ in pairs)) + col_spacing if beside else 2 * col_spacing
        for word, explanation in pairs:
            begun = beside and len(word) + col_spacing <= column
            if not begun:
                self._write_line(word)
            self._write_line(f"{word if begun else '':<{column}}", explanation)

    def _write_line(self, line: str, explanation: str = "") -> None:
        """Write a line, and what stands beside it; all lines of that one stand below each other."""
        begin = " " * self.current_indent
        room = max(self.width - self.current_indent, NARROWEST)
        if explanation:
            lines = wrapped(explanation, max(room - len(line), NARROWEST)).split("\n")
            written = [f"{'' if number else line:<{len(line)}}{one}" for number, one in enumerate(lines)]
        else:
            written = wrapped(line, room).split("\n")
        self.write("".join(f"{begin}{one}".rstrip() + "\n" for one in written))


class WrittenContext(click.Context):
    """The context of a command whose help is written so."""

    formatter_class = Formatter


class WrittenHelp(click.Command):
    r"""A command whose help keeps the lines of paragraphs that begin with ``\b``.

    Click wants the control character there; a docstring reads better with the two letters.
    """

    context_class = WrittenContext

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text above the options."""
        self.help = (self.help or "").replace("\\b", "\b")
        super().format_help_text(ctx, formatter)
