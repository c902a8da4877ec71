"""A proxied root, which a server gives in two ways: through the artifact service, and through the object that owns it.

The service is the faster one. The owner takes what the service does not: names that it cannot send, and roots that it
declines, such as an artifact location of an experiment's own on a server with logins.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.signed import Signed
from bulkexim.errors import NoSuchEndpoint, Refused, SwitchedOff, sentences
from bulkexim.left_behind import LeftBehind


@dataclass(slots=True)
class TwoWays:
    """Reads by the service, and by the owner what the service declines; writes go to the service."""

    service: Proxied | Signed
    owner: Place
    #: Whether the service declined to list the root, so that it need not be asked again.
    closed: bool = False

    def unnamed(self, path: str) -> str:
        return self.service.unnamed(path) and self.owner.unnamed(path)

    def declined(self, path: str, size: int) -> LeftBehind | None:
        return self.service.declined(path, size)

    async def entries(self, folder: str) -> list[Entry]:
        first, *others = self._ways(folder)
        try:
            return await first.entries(folder)
        except SwitchedOff:
            raise  # Nor does the server reach such a root for the owner then.
        except Refused:
            if not others:
                raise
            self.closed |= not folder
            return await others[0].entries(folder)

    @asynccontextmanager
    async def read(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        first, *others = self._ways(path)
        if others and not self.service.sends(path):
            first, others = self.owner, []
        async with AsyncExitStack() as stack:
            try:
                chunks = await stack.enter_async_context(first.read(path))
            except SwitchedOff:
                raise
            except Refused as declined:
                if not others:
                    raise
                try:
                    chunks = await stack.enter_async_context(others[0].read(path))
                except NoSuchEndpoint as kept:
                    raise _neither(declined, kept) from kept
            yield chunks

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        await self.service.write(path, content, size)

    def _ways(self, path: str) -> list[Place]:
        ways: list[Place] = [self.service, self.owner]
        open_ways = [way for way in ways[self.closed :] if not way.unnamed(path)]
        return open_ways or [self.owner]


def _neither(declined: Refused, kept: NoSuchEndpoint) -> Refused:
    """Say that the service declines a file, and that a gateway keeps the other way from us."""
    problem = sentences(declined.problem, f"Nor does the other way lead there: {kept.problem}")
    remedy = f"{declined.remedy} {kept.remedy}".lstrip()
    return Refused(problem, cause=declined.cause, status=declined.status, remedy=remedy)
