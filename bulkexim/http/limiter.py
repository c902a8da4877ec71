"""How many requests a server gets at once, and how many a second.

The number at once adapts: it grows by one for each window of successes and shrinks by a third when the server pushes
back. A Retry-After closes one gate for every caller of that server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

START = 4
#: An MLflow server process has 15 database connections, and a write holds one while it asks for a second: from 15
#: writes at once on they wait for each other until they time out after 30 s (measured on MLflow 3.17.2). How many
#: processes a server has cannot be asked, so the ceiling suits one of them.
CEILING = 12
SHRINK = 0.67
#: Push-backs that arrive closer together than this many seconds count as one.
SHRINK_PAUSE = 1.0


class Limiter:
    """Bounds the traffic to one server. ``ceiling`` is in requests at once, ``rps`` in requests a second."""

    def __init__(
        self,
        ceiling: int | None = None,
        rps: float | None = None,
        clock: Callable[[], float] = anyio.current_time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._ceiling = ceiling or CEILING
        self._rps = rps
        self._clock = clock
        self._sleep = sleep
        self._width = float(min(START, self._ceiling))
        self._slots: anyio.CapacityLimiter | None = None
        self._open_at = 0.0
        self._next_turn = 0.0
        self._last_shrink = float("-inf")

    @property
    def ceiling(self) -> int:
        """Requests that the server gets at once at most."""
        return self._ceiling

    @property
    def width(self) -> int:
        """Requests that the server gets at once at present."""
        return max(1, int(self._width))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the places at the server, once the gate is open and the turn has come."""
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(self.width)
        # A fresh object for each request: one task may hold several slots, a download's and an upload's.
        holder = object()
        try:
            # A free place is taken without a turn of the event loop: a tenth of what a small request costs.
            self._slots.acquire_on_behalf_of_nowait(holder)
        except anyio.WouldBlock:
            await self._slots.acquire_on_behalf_of(holder)
        try:
            await self._wait_for_gate()
            while await self._wait_for_turn() and self._closed_for() > 0:
                await self._wait_for_gate()  # it closed during the wait, so that turn is given up
            yield
        finally:
            self._slots.release_on_behalf_of(holder)

    def _closed_for(self) -> float:
        return self._open_at - self._clock()

    async def _wait_for_gate(self) -> None:
        while (delay := self._closed_for()) > 0:
            await self._sleep(delay)

    async def _wait_for_turn(self) -> bool:
        """Wait until a request may leave; return whether that took time."""
        if self._rps is None:
            return False
        now = self._clock()
        turn = max(now, self._next_turn)
        self._next_turn = turn + 1 / self._rps
        if turn > now:
            await self._sleep(turn - now)
        return turn > now

    def succeeded(self) -> None:
        """Note a reply: a whole window of them widens the limit by one."""
        self._set_width(self._width + 1 / self._width)

    def pushed_back(self, retry_after: float | None = None) -> None:
        """Note that the server asked for less; ``retry_after`` (seconds) closes the gate for everybody."""
        now = self._clock()
        if retry_after is not None:
            self._open_at = max(self._open_at, now + retry_after)
        if now - self._last_shrink >= SHRINK_PAUSE:
            self._last_shrink = now
            self._set_width(self._width * SHRINK)

    def _set_width(self, width: float) -> None:
        self._width = min(max(width, 1.0), float(self._ceiling))
        if self._slots is not None and self._slots.total_tokens != self.width:
            self._slots.total_tokens = self.width
