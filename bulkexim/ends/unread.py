"""Rows of listings that a server could not read, so that each costs itself and not the listing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bulkexim.ends.pages import LeaveOut
from bulkexim.errors import CallError


class UnreadRow(NamedTuple):
    """One row: the route of its listing, its place there (the first is 1), and what the server says."""

    path: str
    place: int
    problem: str


@dataclass(slots=True)
class Unread:
    """The rows that were met so far, each once, however often it was listed."""

    _rows: dict[UnreadRow, None] = field(default_factory=dict)

    @property
    def rows(self) -> list[UnreadRow]:
        """All of them, in the order in which they were met."""
        return list(self._rows)

    def of(self, path: str) -> LeaveOut:
        """Return what notes the rows of a listing."""

        def note(offset: int, error: CallError) -> None:
            self._rows[UnreadRow(path, offset + 1, error.problem)] = None

        return note
