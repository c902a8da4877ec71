"""What the source of a model version points to, whichever way it is written."""

from __future__ import annotations

import re
from typing import NamedTuple


class Pointed(NamedTuple):
    """An object (``run``, ``logged_model``, ``model_version``) and a path in it.

    A ``reference`` is a version by its stage (``name/Production``), its alias (``name@champion``) or as the latest one;
    ``elsewhere`` is any other storage.
    """

    kind: str
    id: str
    path: str = ""

    def __str__(self) -> str:
        inside = self.path.rstrip("/")
        return f"{self.kind.replace('_', ' ')} {self.id}{f' / {inside}' if inside else ''}"


#: Each way to write an address, with the kind of what it names; a logged model has a folder of its own beside the runs.
_WAYS = (
    (re.compile(r"runs:/+(?P<id>[^/]+)/?(?P<path>.*)", re.DOTALL), "run"),
    (re.compile(r"models:/+(?P<id>m-[0-9a-f]{32})/?(?P<path>.*)", re.DOTALL), "logged_model"),
    (re.compile(r"models:/+(?P<id>.+/[0-9]+)/*(?P<path>)", re.DOTALL), "model_version"),
    (re.compile(r"models:/+(?P<id>.+?)/*(?P<path>)", re.DOTALL), "reference"),
    (re.compile(r".*/models/(?P<id>m-[0-9a-f]{32})/artifacts(?:/(?P<path>.*))?", re.DOTALL), "logged_model"),
    (re.compile(r".*/(?P<id>[0-9a-f]{32})/artifacts(?:/(?P<path>.*))?", re.DOTALL), "run"),
)


def pointed(source: str) -> Pointed:
    """Return what an address names."""
    for way, kind in _WAYS:
        if found := way.fullmatch(source):
            return Pointed(kind, found["id"], found["path"] or "")
    return Pointed("elsewhere", source)
