"""What is known of a stored file: its size, and the digest of its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import NamedTuple


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


class Passing:
    """Counts and digests the bytes of a file as they pass; they are read once, by whoever wants them.

    A thread digests a chunk while the next one comes: on the loop's own time a gigabyte costs most of a second.
    """

    def __init__(self) -> None:
        self._size = 0
        self._state = sha256()

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the chunks as they come."""
        with ThreadPoolExecutor(max_workers=1) as beside:
            digesting: Future[None] | None = None
            async for chunk in chunks:
                if digesting is not None:
                    digesting.result()  # Ready by now: no network brings a chunk faster than it is digested.
                digesting = beside.submit(self._state.update, chunk)
                self._size += len(chunk)
                yield chunk

    @property
    def stored(self) -> Stored:
        """What has passed so far."""
        return Stored(self._size, self._state.hexdigest())
