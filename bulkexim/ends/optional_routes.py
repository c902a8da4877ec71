"""Routes that a server, or a gateway before it, may keep from us: each is asked once to find that out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from bulkexim.errors import BadReply, CallError, NoSuchEndpoint

T = TypeVar("T")


@dataclass(slots=True)
class OptionalRoutes:
    """What is known of such routes at one server."""

    _open: dict[str, bool] = field(default_factory=dict)
    _asking: anyio.Lock = field(default_factory=anyio.Lock)

    async def ask(self, route: str, call: Callable[[], Awaitable[T]]) -> T | None:
        """Make a call by an optional route; return ``None`` where it is kept from us, without a second request.

        :raises CallError: the route is there, and this call failed
        """
        if route not in self._open:
            async with self._asking:
                if route not in self._open:
                    return await self._first(route, call)
        return await call() if self._open[route] else None

    async def _first(self, route: str, call: Callable[[], Awaitable[T]]) -> T | None:
        try:
            reply = await call()
        except (NoSuchEndpoint, BadReply):
            self._open[route] = False  # A gateway may also answer with a page, again and again.
            return None
        except CallError as error:
            if error.definite:
                self._open[route] = True
            raise
        self._open[route] = True
        return reply
