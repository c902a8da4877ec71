"""What is read ahead: the next page of a listing, and what a window of objects needs beyond its page."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from bulkexim.errors import CallError, ObjectError
from bulkexim.kinds.base import Draft, Kind
from bulkexim.tasks import together


@dataclass(slots=True)
class Reading:
    """What a window is read for, fetched while its first objects are created."""

    kind: Kind[Any, Any]
    drafts: Sequence[Draft[Any]]
    _ready: anyio.Event = field(default_factory=anyio.Event)
    _details: Any = None
    _error: ObjectError | None = None

    async def run(self) -> None:
        """Read it."""
        try:
            self._details = await self.kind.details(self.drafts)
        except ObjectError as error:
            self._error = error
        self._ready.set()

    async def get(self) -> Any:
        """Return the details once they are read.

        :raises ObjectError: they could not be read
        """
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        return self._details


@asynccontextmanager
async def ahead(pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[AsyncIterable[Sequence[Any]]]:
    """Give pages, the next being read while the last is worked on.

    A listing that fails ends the pages; the failure is raised when the work on those before it is done. (No generator:
    it would be left open, with its task in it, when the work on a page fails.)
    """
    # Nothing is held between the two: a page that waits here would be one more in memory.
    send, receive = anyio.create_memory_object_stream[Sequence[Any]](0)
    failures: list[CallError] = []

    async def read() -> None:
        async with send:
            try:
                async for page in pages:
                    await send.send(page)
            except CallError as error:
                failures.append(error)
            except anyio.BrokenResourceError:
                pass  # The work on a page failed, and nobody wants the next one.

    async with together() as tasks:
        tasks.start_soon(read)
        async with receive:
            yield receive
    if failures:
        raise failures[0]
