"""What a server is given in place of a local store, so that it cannot alter the store."""

from __future__ import annotations

from typing import NamedTuple


class Replica(NamedTuple):
    """A stand-in for a store. ``roots`` are the artifact roots of its experiments that are not empty."""

    backend: str
    roots: frozenset[str]
    has_workspaces: bool = False
