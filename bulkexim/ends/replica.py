"""What a server is given in place of a local store, so that it cannot alter the store."""

from __future__ import annotations

from typing import NamedTuple

from bulkexim.ends.local_artifacts import LocalRoots
from bulkexim.ends.unaccounted import Unaccounted


class Replica(NamedTuple):
    """A stand-in for a store. ``doubtful`` are artifact roots that may not be where the store says.

    ``found`` finds the folders of all roots, ``unaccounted`` is what of the store the replica does not show, and
    ``warnings`` are sentences on what is not as it should be, and stops nothing.
    """

    backend: str
    doubtful: frozenset[str]
    found: LocalRoots
    has_workspaces: bool = False
    unaccounted: tuple[Unaccounted, ...] = ()
    warnings: tuple[str, ...] = ()
