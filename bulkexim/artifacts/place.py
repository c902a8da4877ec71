"""What a place is: the artifact root of one object, however it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A file or folder, by its path below the root; size in bytes."""

    path: str
    is_dir: bool
    size: int


class Place(Protocol):
    """The artifact root of one object at one end."""

    async def entries(self, folder: str) -> list[Entry]:
        """Return what stands directly in ``folder`` ("" is the root); nothing where it does not exist."""

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a file for reading."""

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        """Store a file of ``size`` bytes, in place of one that is there.

        :raises ObjectError: the root cannot be written this way
        """
