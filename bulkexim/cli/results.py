"""Where results for programs go: to stdout or to a file, in UTF-8 whatever the terminal speaks."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from bulkexim.errors import unwritable


def print_json(value: msgspec.Struct, **more: object) -> None:
    """Print a value, and more keys beside its own, as one line of JSON."""
    with stdout() as out:
        out.write(msgspec.json.encode(msgspec.to_builtins(value) | more).decode() + "\n")


@contextmanager
def stdout() -> Iterator[TextIO]:
    """Yield stdout for a text that is not for a terminal."""
    sys.stdout.flush()
    text = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()


@contextmanager
def file(path: Path) -> Iterator[TextIO]:
    """Yield a file to be written; it has its name when it is complete, and not before.

    :raises UsageError: it cannot be written
    :raises TemporaryTrouble: the disk is full
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            with target.open("w", encoding="utf-8", newline="") as text:  # a device or a pipe
                yield text
            return
        part = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with part.open("x", encoding="utf-8", newline="") as text:
                yield text
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error, "Give another --output.") from error
