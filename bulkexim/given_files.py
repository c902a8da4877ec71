"""Files that the user gives beside the settings: lists of names, and new names for old ones."""

from __future__ import annotations

import csv
from pathlib import Path

from bulkexim.errors import UsageError

_LISTS = "Give names, ids, globs or a .txt file with one a line."


def listing(flag: str, value: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
    """Return the names given with a flag: a list, a comma-separated text or a .txt file of one name a line.

    :raises UsageError: there are none, or the file cannot be read
    """
    if value is None:
        return None
    if isinstance(value, tuple):
        if not any(value):
            raise UsageError(f"{flag}: an empty list names nothing.", _LISTS)
        return value
    given = _lines(Path(value)) if value.endswith(".txt") else [name.strip() for name in value.split(",")]
    names = [name for name in given if name]
    if not names:
        raise UsageError(f"{flag}: {value!r} names nothing.", _LISTS)
    return tuple(names)


def renames(path: str | None) -> dict[str, str]:
    """Read ``old,new`` lines. A name that holds a comma stands in double quotes (as in CSV).

    An old name matches a whole name, or, when it ends with ``*``, every name that begins so. Names may be swapped: the
    table is read once for each name.

    :raises UsageError: the file cannot be read, or a name stands in it twice
    """
    if path is None:
        return {}
    found: dict[str, str] = {}
    reader = csv.reader(_lines(Path(path)), strict=True)
    try:
        for row in reader:
            if row:
                old, new = _pair(row, f"{path}: line {reader.line_num}")
                if old in found or (new in found.values() and not old.endswith("*")):
                    name = old if old in found else new
                    raise UsageError(
                        f"{path}: line {reader.line_num}: {name!r} stands there twice.",
                        "Give each object a name of its own: two of one name would become one.",
                    )
                found[old] = new
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num}: is not CSV ({error}).", "Quote a name in full.") from error
    return found


def _pair(row: list[str], where: str) -> tuple[str, str]:
    match [cell.strip() for cell in row]:
        case [str(old), str(new)] if old and new:
            return old, new
    raise UsageError(f"{where}: expected 'old name,new name'.", "Quote a name that holds a comma.")


def _lines(path: Path) -> list[str]:
    try:
        # Editors on Windows begin a file with a mark that is no part of the first name.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).", "Check its name and rights.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text in UTF-8 ({error.reason}).", "Save it as UTF-8.") from error
    if "\0" in text:
        raise UsageError(f"{path}: is not text: it holds a NUL.", "Save it as UTF-8.")
    return [line.strip() for line in text.split("\n")]
