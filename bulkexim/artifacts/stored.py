"""What is known of a stored file: its size, and the digest of its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import NamedTuple

from anyio import to_thread

#: Bytes that are digested in less time than it takes to hand them to a thread.
AT_ONCE = 128 * 1024


class Stored(NamedTuple):
    """A file as it is stored; without a digest its bytes are not known."""

    size: int
    sha256: str = ""

    @classmethod
    def of(cls, content: bytes) -> Stored:
        """Return what is known of a file whose bytes are at hand."""
        return cls(len(content), sha256(content).hexdigest())

    def __str__(self) -> str:
        return f"{self.size:,} bytes" + (f", sha256 {self.sha256}" if self.sha256 else "")


async def stored(content: bytes) -> Stored:
    """Return what is known of a file whose bytes are at hand; a thread digests what would hold others up."""
    return Stored.of(content) if len(content) <= AT_ONCE else await to_thread.run_sync(Stored.of, content)


class Passing:
    """Counts and digests the bytes of a file as they pass; they are read once, by whoever wants them.

    A thread digests a chunk while the next one comes: on the loop's own time a gigabyte costs most of a second.
    """

    def __init__(self) -> None:
        self._size = 0
        self._state = sha256()
        self._digesting: Future[None] | None = None

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the chunks as they come."""
        beside = ThreadPoolExecutor(max_workers=1)
        try:
            async for chunk in chunks:
                await self._digested()
                self._digesting = beside.submit(self._state.update, chunk)
                self._size += len(chunk)
                yield chunk
        finally:
            beside.shutdown(wait=False)

    async def stored(self) -> Stored:
        """Return what has passed so far."""
        await self._digested()
        return Stored(self._size, self._state.hexdigest())

    async def _digested(self) -> None:
        # Mostly it is: few networks bring a chunk faster than it is digested.
        if self._digesting is not None and not self._digesting.done():
            await to_thread.run_sync(self._digesting.result)
