"""What is on its way at once: windows of objects side by side, and lanes, whose objects go one after the other.

The number of lanes is bounded, and so is the number of objects that each of them holds. Of those further behind only
the ids are kept; they are read again when their turn comes. So a long lane holds up neither the others nor the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import anyio
from anyio.abc import TaskGroup

from bulkexim.ids import SourceId
from bulkexim.kinds.base import Draft
from bulkexim.ledger.schema import Row
from bulkexim.tasks import together

#: Objects that all lanes together may hold (a model version takes about 3 kB).
HELD = 5400


class Job(NamedTuple):
    """One object to be moved: its translation, what the ledger knows of it, and its value at the source."""

    draft: Draft[Any]
    row: Row
    value: Any


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be on its way at once.

    ``windows`` and ``lanes`` are numbers of those, ``held`` is in objects of one lane, ``ids`` in ids behind the held
    objects of all lanes.
    """

    windows: int = 3
    lanes: int = 18
    held: int = 300
    ids: int = 100_000

    @classmethod
    def for_requests(cls, at_once: int) -> Room:
        """Return the room that keeps a destination busy which takes so many requests at once."""
        # Between two requests a lane writes to the ledger, so there are more lanes than requests.
        lanes = at_once + max(2, at_once // 2)
        return cls(lanes=lanes, held=max(1, HELD // lanes))


class Mover(Protocol):
    """Moves the objects that have their turn."""

    async def window(self, jobs: Sequence[Job]) -> None:
        """Move objects without a lane side by side."""

    async def one(self, job: Job) -> None:
        """Move one object of a lane."""

    def again(self, lane: str, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Job]]:
        """Read objects of a lane again, in their order."""


@dataclass(eq=False, slots=True)
class _Lane:
    held: deque[Job] = field(default_factory=deque)
    behind: list[SourceId] = field(default_factory=list)


class Lanes:
    """Runs windows and lanes; made by `lanes`."""

    def __init__(self, tasks: TaskGroup, mover: Mover, room: Room) -> None:
        self._tasks = tasks
        self._mover = mover
        self._held = room.held
        self._free_windows = anyio.Semaphore(room.windows, fast_acquire=True)
        self._free_lanes = anyio.Semaphore(room.lanes, fast_acquire=True)
        self._free_ids = anyio.Semaphore(room.ids, fast_acquire=True)
        self._lanes: dict[str, _Lane] = {}

    async def submit(self, jobs: Sequence[Job], window: int) -> None:
        """Hand over objects in their order, ``window`` of those without a lane at a time, as there is room for them."""
        loose = [job for job in jobs if job.draft.lane is None]
        for start in range(0, len(loose), window):
            await self._free_windows.acquire()
            self._tasks.start_soon(self._window, loose[start : start + window])
        for job in jobs:
            if job.draft.lane is not None:
                await self._queue(job.draft.lane, job)

    async def _window(self, jobs: Sequence[Job]) -> None:
        try:
            await self._mover.window(jobs)
        finally:
            self._free_windows.release()

    async def _queue(self, key: str, job: Job) -> None:
        if (lane := self._lanes.get(key)) and (lane.behind or len(lane.held) >= self._held):
            await self._free_ids.acquire()
            # The lane may have come to its end while this waited.
            if lane is self._lanes.get(key):
                lane.behind.append(job.draft.id)
                return
            self._free_ids.release()
        if key not in self._lanes:
            await self._free_lanes.acquire()
            self._lanes[key] = _Lane()
            self._tasks.start_soon(self._lane, key, self._lanes[key])
        self._lanes[key].held.append(job)

    async def _lane(self, key: str, lane: _Lane) -> None:
        try:
            while lane.held or lane.behind:
                while lane.held:
                    await self._mover.one(lane.held.popleft())
                if lane.behind:
                    ids, lane.behind = lane.behind, []
                    await self._read_again(key, ids)
        finally:
            del self._lanes[key]
            self._free_lanes.release()

    async def _read_again(self, key: str, ids: Sequence[SourceId]) -> None:
        released = 0
        async for jobs in self._mover.again(key, ids):
            for job in jobs:
                await self._mover.one(job)
            released += len(jobs)
            self._free(len(jobs))
        self._free(len(ids) - released)

    def _free(self, ids: int) -> None:
        for _ in range(ids):
            self._free_ids.release()


@asynccontextmanager
async def lanes(mover: Mover, room: Room) -> AsyncIterator[Lanes]:
    """Open lanes for one round; everything submitted is done with when the block ends."""
    async with together() as tasks:
        yield Lanes(tasks, mover, room)
