"""Joins paths that somebody else named: what a server lists must stay below the folder that was asked for.

Every path of an artifact that is requested or written is made here. Names are kept as they are: ``A.txt`` and ``a.txt``
are two files, and it is the destination's storage that tells them apart, or does not.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from bulkexim.errors import ObjectError

#: Folders above a file. A listing that lists its own folder ends here.
DEEPEST = 100
#: Bytes of a path, with its root: no system that MLflow runs on takes longer ones.
LONGEST = 4096
_DRIVE = re.compile(r"[A-Za-z]:([/\\]|$)")
_SHOWN = 80


def below(folder: str, name: str) -> str:
    """Return the path of ``name`` in ``folder``, where "" is the root of everything.

    :raises ObjectError: the path would lead elsewhere, is none, or has no end
    """
    path = f"{folder}/{name}" if folder else name
    problem = _problem(name) or (_problem(folder) if folder else "") or _too_much(path)
    if problem:
        raise _unsafe(path, problem)
    return path


def below_listed(folder: str, path: str) -> str:
    """Return ``path``, which a listing of ``folder`` gave with that folder before it.

    :raises ObjectError: it is not in that folder; see `below`
    """
    if not folder:
        return below("", path)
    if not path.startswith(f"{folder}/"):
        raise _unsafe(path, "is not in the folder that was listed")
    return below(folder, path[len(folder) + 1 :])


def _unsafe(path: str, problem: str) -> ObjectError:
    shown = repr(path if len(path) <= _SHOWN else path[:_SHOWN] + "…")
    return ObjectError(
        "unsafe file name",
        f"The server names a file {shown}, which {problem}.",
        "Check what is stored there; --no-artifacts leaves files behind.",
    )


def _problem(path: str) -> str:
    # A server decodes percent signs, and more than once.
    for meant in {path, _decoded(path)}:
        if meant.startswith(("/", "\\")) or _DRIVE.match(meant):
            return "begins at the root of a disk"
        if "\0" in meant:
            return "holds a NUL"
        if ".." in re.split(r"[/\\]", meant):
            return "leads out of its folder"
    return "is no path" if {"", "."} & set(path.split("/")) else ""


def _decoded(path: str) -> str:
    while (decoded := unquote(path)) != path:
        path = decoded
    return path


def _too_much(path: str) -> str:
    if len(path.encode()) > LONGEST:
        return f"is longer than {LONGEST:,} bytes"
    return f"is more than {DEEPEST} folders deep" if path.count("/") > DEEPEST else ""
