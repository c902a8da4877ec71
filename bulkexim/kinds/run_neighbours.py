"""Runs that a server cannot list because it fails on the one after them.

MLflow reads one row more than a page has, to know whether there is another page. Where it fails while it reads a row (a
run without a user, say), it can list neither that run nor the one before it. Listed from the end, it can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bulkexim.ends.page_tokens import token_at
from bulkexim.ends.pages import MOST, LeaveOut
from bulkexim.ends.server import Server
from bulkexim.errors import CallError
from bulkexim.http.retry import Divisible
from bulkexim.kinds.run_values import Run, RunPage

#: The opposite of the order in which runs are listed.
_FROM_THE_END = ("attributes.start_time DESC", "attributes.run_id DESC")


class _Gap(NamedTuple):
    """Rows that cannot be listed: the first of them, how many, and the run before them."""

    first: int
    rows: int
    before: Run | None


@dataclass(slots=True)
class Neighbours:
    """The rows of one listing that were left out; ``body`` is what was asked for."""

    server: Server
    body: Mapping[str, Any]
    _left_out: dict[int, CallError] = field(default_factory=dict)
    _before: dict[int, Run | None] = field(default_factory=dict)
    _last: Run | None = None
    _listed: int = 0

    def listed(self, page: RunPage) -> None:
        """Take a page, in the order of the listing."""
        self._listed += len(page.runs)
        self._last = page.runs[-1] if page.runs else self._last

    def leave_out(self, offset: int, error: CallError) -> None:
        """Take a row that cannot be listed."""
        self._left_out[offset], self._before[offset] = error, self._last

    async def found(self) -> list[Run]:
        """Return those that can be listed from the end, once all others are listed."""
        runs = [(gap, await self._from_the_end(gap)) for gap in self._gaps()]
        for gap, run in runs:
            if run is not None:
                del self._left_out[gap.first]
        return [run for _, run in runs if run is not None]

    def note(self, leave_out: LeaveOut | None) -> None:
        """Tell what is left."""
        if leave_out is not None:
            for offset, error in self._left_out.items():
                leave_out(offset, error)

    def _gaps(self) -> Iterator[_Gap]:
        """Yield the gaps of several rows: where it is only one, that row itself is damaged."""
        for first in sorted(self._left_out):
            rows = 1
            while first + rows in self._left_out:
                rows += 1
            if rows > 1 and first - 1 not in self._left_out:
                yield _Gap(first, rows, self._before[first])

    async def _from_the_end(self, gap: _Gap) -> Run | None:
        total = self._listed + len(self._left_out)
        # A run without a start is the last one in either order.
        for offset in dict.fromkeys((total - 1 - gap.first, total - gap.first - gap.rows)):
            runs = await self._asked(offset, 1 if gap.before is None else 2)
            # What follows must be what is known: else runs came or went meanwhile, and this is another place.
            if [run.info.run_id for run in runs[1:]] == [run.info.run_id for run in (gap.before,) if run]:
                return runs[0]
        return None

    async def _asked(self, offset: int, most: int) -> list[Run]:
        token = {"page_token": token_at(offset)} if offset else {}
        body = {**self.body, "order_by": _FROM_THE_END, "max_results": most, **token}
        try:
            page = await self.server.post("runs/search", body, RunPage, divisible=Divisible(MOST, 1))
        except CallError:
            return []
        is_last = page.next_page_token is None
        return list(page.runs) if most > 1 or is_last else []
