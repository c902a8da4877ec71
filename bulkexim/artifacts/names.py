"""Joins paths that somebody else named: what a server lists must stay below the folder that was asked for.

Every path of an artifact that is requested or written is made here. Names are kept as they are: ``A.txt`` and ``a.txt``
are two files, and it is the destination's storage that tells them apart, or does not. What a server makes of a name is
another matter (`bulkexim.artifacts.served_names`).
"""

from __future__ import annotations

import os
import re

from bulkexim.errors import ObjectError

#: Folders above a file, below its root. A listing that lists its own folder ends here.
DEEPEST = 100
#: Bytes of a path, with its root: no system that MLflow runs on takes longer ones.
LONGEST = 4096
#: On Windows these paths begin at the root of a disk; elsewhere they are names like any other.
_ON_WINDOWS = re.compile(r"[A-Za-z]:([/\\]|$)|\\") if os.name == "nt" else None
_SHOWN = 80


class UnsafeName(ObjectError):
    """A listing names a file that nothing may be asked of; ``why`` continues a sentence that begins with the name."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            "unsafe file name",
            f"The server names a file {_shortened(path)!r}, which {why}.",
            "Check what is stored there; --no-artifacts leaves files behind.",
        )
        self.why = why


def below(folder: str, name: str) -> str:
    """Return the path of ``name`` in ``folder``, where "" is the root of everything.

    :raises UnsafeName: the path would lead elsewhere, is none, or has no end
    """
    path = f"{folder}/{name}" if folder else name
    problem = _problem(name) or (_problem(folder) if folder else "") or _too_long(path) or _too_deep(path)
    if problem:
        raise UnsafeName(path, problem)
    return path


def inside(root: str, path: str) -> str:
    """Return the path of ``path`` below a root, "" being the root of everything; the root may be at any depth.

    :raises UnsafeName: see `unsafe_inside`
    """
    whole = "/".join(filter(None, (root, path)))
    if problem := unsafe_inside(root, path):
        raise UnsafeName(whole, problem)
    return whole


def unsafe_inside(root: str, path: str) -> str:
    """Return why nothing may be asked of ``path`` below a root, as a sentence goes on; nothing where it may.

    A path that was short enough where it was listed may be too long below another root.
    """
    problem = (_problem(root) if root else "") or (_problem(path) if path else "")
    return problem or _too_long("/".join(filter(None, (root, path))))


def below_listed(folder: str, path: str) -> str:
    """Return ``path``, which a listing of ``folder`` gave with that folder before it.

    :raises UnsafeName: it is not in that folder; see `below`
    """
    if not folder:
        return below("", path)
    if not path.startswith(f"{folder}/"):
        raise UnsafeName(path, "is not in the folder that was listed")
    return below(folder, path[len(folder) + 1 :])


def readable(path: str) -> str:
    """Return a path of any kind as a text that can be stored and shown."""
    return _shortened(path.encode(errors="backslashreplace").decode(), LONGEST)


def _shortened(path: str, most: int = _SHOWN) -> str:
    return path if len(path) <= most else path[:most] + "…"


def _problem(path: str) -> str:
    if path.startswith("/") or (_ON_WINDOWS and _ON_WINDOWS.match(path)):
        return "begins at the root of a disk"
    if "\0" in path:
        return "holds a NUL"
    # A server on Windows would follow the other separator too.
    if ".." in re.split(r"[/\\]", path):
        return "leads out of its folder"
    return "is no path" if {"", "."} & set(path.split("/")) else ""


def _too_long(path: str) -> str:
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "is no text"
    return f"is longer than {LONGEST:,} bytes" if length > LONGEST else ""


def _too_deep(path: str) -> str:
    return f"is more than {DEEPEST} folders deep" if path.count("/") > DEEPEST else ""
