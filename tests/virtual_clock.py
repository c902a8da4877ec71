"""A clock that stands still until a test moves it."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

import anyio
from anyio.lowlevel import checkpoint

#: Turns of the event loop after which tasks that share nothing but memory have done all they can.
TURNS = 100


class VirtualClock:
    """Time in seconds.

    `sleep` waits until the test calls `advance`; `skip` is for a lone task and moves the time itself.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []
        self._numbers = count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until the time has come."""
        self.slept.append(seconds)
        awake = anyio.Event()
        heappush(self._sleepers, (self.now + seconds, next(self._numbers), awake))
        await awake.wait()

    async def skip(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.now += seconds
        await checkpoint()

    async def advance(self, seconds: float = 0.0) -> None:
        """Move the time, and let every task that wakes up on the way do what it can."""
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, awake = heappop(self._sleepers)
            awake.set()
            await settle()
        self.now = end


async def settle() -> None:
    """Let every other task go on until it waits for something."""
    for _ in range(TURNS):
        await checkpoint()
