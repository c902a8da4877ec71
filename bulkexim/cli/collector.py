"""How often Python looks for objects that hold only each other: seldom, for hardly any come about."""

from __future__ import annotations

import gc

#: New objects after which it looks (700 by default).
NEW_OBJECTS = 10_000


def collect_seldom() -> None:
    """Set it for this process.

    Each look goes over everything that the calls on their way hold: a sixth of what a small request costs when there
    are 256 of them, and nothing when there are 16.
    """
    gc.set_threshold(NEW_OBJECTS)
