"""A figure beside its goal."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Bound(StrEnum):
    """On which side of the goal a figure has to be."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


class Figure(msgspec.Struct, frozen=True):
    """What was measured for a goal, in ``unit``; ``basis`` holds the numbers that it comes from."""

    goal: str
    what: str
    value: float
    bound: Bound
    limit: float
    unit: str
    basis: str

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.limit if self.bound is Bound.AT_MOST else self.value >= self.limit


def at_most(limit: float, goal: str, what: str, value: float, *, basis: str, unit: str = "") -> Figure:
    """Return a figure that should not be higher."""
    return Figure(goal, what, value, Bound.AT_MOST, limit, unit, basis)


def at_least(limit: float, goal: str, what: str, value: float, *, basis: str, unit: str = "") -> Figure:
    """Return a figure that should not be lower."""
    return Figure(goal, what, value, Bound.AT_LEAST, limit, unit, basis)
