"""Bounded concurrency: windows of objects move side by side, objects of one lane one after the other.

Objects of a lane arrive in order, possibly spread over several windows; the part in a later window waits for the part
before it. That part was submitted earlier, so the wait always ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from bulkexim.kinds.base import Draft
from bulkexim.tasks import together

#: Windows in flight: one is read while another is written.
WINDOWS = 3

P = TypeVar("P")


@dataclass(eq=False, slots=True)
class Lane(Generic[P]):
    """Objects to be moved in order, after the part of the same lane that was submitted before."""

    drafts: Sequence[Draft[P]]
    before: anyio.Event | None = None
    done: anyio.Event = field(default_factory=anyio.Event)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the part before, and let the part after go on at the end."""
        try:
            if self.before is not None:
                await self.before.wait()
            yield
        finally:
            self.done.set()


Move = Callable[[Sequence[Lane[P]]], Awaitable[None]]


class Lanes(Generic[P]):
    """Runs windows of objects; made by `lanes`."""

    def __init__(self, tasks: TaskGroup, move: Move[P], windows: int) -> None:
        self._tasks = tasks
        self._move = move
        self._free = anyio.Semaphore(windows)
        self._tails: dict[str, anyio.Event] = {}

    async def submit(self, drafts: Sequence[Draft[P]]) -> None:
        """Hand over a window of objects, once there is room for it."""
        await self._free.acquire()
        self._tasks.start_soon(self._window, [self._queued(lane) for lane in _split(drafts)])

    def _queued(self, drafts: Sequence[Draft[P]]) -> Lane[P]:
        key = drafts[0].lane
        lane = Lane(drafts, self._tails.get(key) if key is not None else None)
        if key is not None:
            self._tails = {other: tail for other, tail in self._tails.items() if not tail.is_set()}
            self._tails[key] = lane.done
        return lane

    async def _window(self, parts: Sequence[Lane[P]]) -> None:
        try:
            await self._move(parts)
        finally:
            self._free.release()


def _split(drafts: Sequence[Draft[P]]) -> list[list[Draft[P]]]:
    """Return objects by lane, in their order; each object without a lane is one of its own."""
    parts: list[list[Draft[P]]] = []
    for lane, group in groupby(drafts, key=lambda draft: draft.lane):
        members = list(group)
        parts += [members] if lane is not None else [[draft] for draft in members]
    return parts


@asynccontextmanager
async def lanes(move: Move[Any], windows: int = WINDOWS) -> AsyncIterator[Lanes[Any]]:
    """Open lanes for one pass; everything submitted is done with when the block ends."""
    async with together() as tasks:
        yield Lanes(tasks, move, windows)
