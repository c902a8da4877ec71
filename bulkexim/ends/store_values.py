"""The files below a folder of a file store that hold one value each: metrics, params, tags, aliases.

MLflow reads all of them for one listing (``FileStore._get_resource_files``), so a file that it cannot read fails the
listing of all runs of an experiment. Such a file, or line, is left out here, and named.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: What a replica of a folder holds: a link to the folder or file itself, its content, or more of the kind by name.
Tree = Path | bytes | dict[str, "Tree"]

#: What desktops leave in folders; nobody misses it.
_OF_DESKTOPS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_APPLE_DOUBLE = b"\x00\x05\x16\x07"
_NAME = re.compile(r"[/\w.\- :]*")
#: Lines of metrics as MLflow writes them; most files hold nothing else.
_POINT = rb"-?\d{1,18} (?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|-?inf)"
_POINTS = re.compile(rb"(?:" + _POINT + rb"(?: -?\d{1,18})?\n)+")
_SHOWN = 60
#: A buffer of this size comes from the heap; a larger one is mapped, which takes longer than most files take to read.
_CHUNK = 32 * 1024


class Content(NamedTuple):
    """What of a file can be used: ``None`` is nothing, ``problem`` says what cannot."""

    usable: bytes | None
    problem: str = ""


Check = Callable[[bytes], Content]


def text(content: bytes) -> Content:
    """Return a value that is a text."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return Content(None, "is no text in UTF-8")
    return Content(content)


def points(content: bytes) -> Content:
    """Return the points of a metric of a run: time, value and, mostly, step; five fields name a dataset too."""
    return Content(content) if _POINTS.fullmatch(content) else _readable_lines(content, (2, 3, 5))


def model_points(content: bytes) -> Content:
    """Return the points of a metric of a logged model: time, value, step, run; six fields name a dataset too."""
    return _readable_lines(content, (4, 6))


def _readable_lines(content: bytes, lengths: tuple[int, ...]) -> Content:
    lines = content.decode(errors="surrogateescape").splitlines(keepends=True)
    bad = [line for line in lines if not _is_point(line, lengths)]
    if not lines:
        return Content(None, "is empty")
    if not bad:
        return Content(content)
    problem = f"has {len(bad):,} of {len(lines):,} lines that are no points, such as {bad[0].rstrip()[:_SHOWN]!r}"
    usable = "".join(line for line in lines if line not in bad)
    return Content(usable.encode() or None, problem.encode(errors="backslashreplace").decode())


def _is_point(line: str, lengths: tuple[int, ...]) -> bool:
    parts = line.strip().split(" ")
    try:
        line.encode()  # What is no text in UTF-8 fails here.
        int(parts[0]), float(parts[1]), int(parts[2] if len(parts) in (3, 4, 6) else 0)
    except (IndexError, ValueError):
        return False
    return len(parts) in lengths


def checked_values(folder: Path, check: Check, tell: Callable[[str], None]) -> Tree:
    """Return the values below ``folder``, without those that MLflow cannot read; ``tell`` hears of these.

    What it hears is the path of a file, from the folder's own name on, and what is wrong with it.
    """
    return _values(folder, "", check, lambda name, problem: tell(f"{folder.name}/{name} {problem}"))


def _values(folder: Path, above: str, check: Check, tell: Callable[[str, str], None]) -> Tree:
    changed: dict[str, Tree | None] = {}
    unchanged: list[Path] = []
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError as error:
        tell(above, f"cannot be read ({error.strerror})")
        return {}
    for entry in entries:
        name = f"{above}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            below = _values(Path(entry.path), f"{name}/", check, tell)
            if isinstance(below, Path):
                unchanged.append(below)
            else:
                changed[entry.name] = below
            continue
        usable, problem = _file(entry, name, check)
        if problem or usable is None:
            changed[entry.name] = usable
        if problem:
            tell(name, problem)
    if changed:
        # MLflow looks for values with `os.walk`, which enters no link to a folder.
        changed |= {below.name: _links(below) for below in unchanged}
    return pruned(folder, [entry.name for entry in entries], changed)


def _links(folder: Path) -> Tree:
    """Return a folder of links to the files in ``folder``, with real folders for those in it."""
    with os.scandir(folder) as found:
        return {
            entry.name: _links(Path(entry.path)) if entry.is_dir(follow_symlinks=False) else Path(entry.path)
            for entry in found
        }


def _file(entry: os.DirEntry[str], name: str, check: Check) -> Content:
    if entry.name in _OF_DESKTOPS:
        return Content(None)
    if not entry.is_file():
        return Content(None, "is no file")  # MLflow would wait for what a pipe brings.
    try:
        content = _bytes(entry.path)
    except OSError as error:
        return Content(None, f"cannot be read ({error.strerror})")
    if content.startswith(_APPLE_DOUBLE):
        return Content(None)
    if not _NAME.fullmatch(name) or posixpath.normpath(name) != name:
        return Content(None, "has a name that MLflow does not take")
    return check(content)


def _bytes(path: str) -> bytes:
    # A store holds hundreds of thousands of small files, and this takes half the time of a file object.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        chunks = [os.read(descriptor, _CHUNK)]
        while len(chunks[-1]) == _CHUNK:
            chunks.append(os.read(descriptor, _CHUNK))
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def pruned(folder: Path, names: list[str], changed: dict[str, Tree | None]) -> Tree:
    """Return ``folder``, which holds ``names``, with some entries changed, added, or left out (``None``)."""
    if not changed:
        return folder
    entries: dict[str, Tree | None] = {name: folder / name for name in names}
    return {name: tree for name, tree in (entries | changed).items() if tree is not None}
