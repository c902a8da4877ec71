"""Lines of a terminal: text breaks at spaces only."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TextIO
from unicodedata import combining, east_asian_width

#: Columns of a terminal that does not know them.
USUAL = 80
#: What stands before the text of an entry in a list: a number or a word, and two spaces at least.
_BEGINNING = re.compile(r" *\S(?:\S| (?! ))* {2,}(?=\S)")


def columns(stream: TextIO) -> int | None:
    """Return how many columns the lines of a terminal have; ``None`` where nothing limits them (a file, a pipe)."""
    if not stream.isatty():
        return None
    with suppress(ValueError):
        return max(int(os.environ.get("COLUMNS", "")), 1)
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or USUAL
    return USUAL


def cells(text: str) -> int:
    """Return how many columns a text fills: letters of East Asia fill two, an accent by itself none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, width: int | None) -> str:
    """Break the lines of a text at spaces so that they fit; a word that is too long has a line of its own.

    What follows a break stands below the text of its entry, or is indented by two more than its line.
    """
    return text if width is None else "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    if cells(line) <= width:
        return line
    start, indent = _indents(line, width)
    lines, current, empty = [], line[:start], True
    for word in line[start:].split(" "):
        if not empty and cells(current) + 1 + cells(word) > width:
            lines.append(current)
            current, empty = " " * indent, True
        current += word if empty else f" {word}"
        empty = False
    return "\n".join([*lines, current])


def _indents(line: str, width: int) -> tuple[int, int]:
    """Return where the text of a line begins, and where it goes on after a break."""
    beginning = _BEGINNING.match(line)
    if beginning and beginning.end() <= width // 2:
        return beginning.end(), beginning.end()
    start = len(line) - len(line.lstrip(" "))
    return start, (start + 2 if 0 < start < width // 2 else 0)
