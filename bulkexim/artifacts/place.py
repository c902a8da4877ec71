"""What a place is: the artifact root of one object, however it is reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from bulkexim.artifacts.names import UnsafeName, below, readable
from bulkexim.errors import ObjectError
from bulkexim.left_behind import Cause, LeftBehind


class Entry(NamedTuple):
    """A file or folder, by its path below the root; size in bytes.

    ``left`` says that nothing is asked of it, and why. Object storage may hold a file beside a folder of the same name:
    such a file is a ``twin``.
    """

    path: str
    is_dir: bool
    size: int
    left: LeftBehind | None = None
    twin: bool = False

    def without(self, cause: Cause, why: str) -> Entry:
        """Return the entry as one that stays behind."""
        name = f"{self.path}/" if self.is_dir else self.path
        return self._replace(left=LeftBehind(cause, f"{name if self.path else 'every file'}: {why}"))


def listed(folder: str, name: str, *, is_dir: bool, size: int, join: Callable[[str, str], str] = below) -> Entry:
    """Return what a listing of ``folder`` names, without it where it must not be asked for."""
    try:
        return Entry(join(folder, name), is_dir, size)
    except UnsafeName as error:
        path = f"{folder}/{name}" if folder and join is below else name
        return Entry(readable(path), is_dir, size).without(Cause.FILE_NAME, f"the name {error.why}")


class Unreadable(ObjectError):
    """A file or folder that is seen on this machine cannot be read; its neighbours may well be."""

    def __init__(self, problem: str) -> None:
        super().__init__("file cannot be read", problem, "Check it and its rights.")


class NotTaken(ObjectError):
    """An end takes no file of this name or size, however often it is asked."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("file not taken", problem, remedy)


class Place(Protocol):
    """The artifact root of one object at one end."""

    def unnamed(self, path: str) -> str:
        """Return why nothing can be read under this path, however it is asked for; nothing where it can."""

    def declined(self, path: str, size: int) -> LeftBehind | None:
        """Return what to say of a file of ``size`` bytes that cannot be written under this path, if that is so."""

    async def entries(self, folder: str) -> list[Entry]:
        """Return what stands directly in ``folder`` ("" is the root); nothing where it does not exist.

        :raises Unreadable: this machine sees it and cannot read it
        :raises CallError: its server does not list it
        """

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a file for reading."""

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        """Store a file of ``size`` bytes, in place of one that is there.

        :raises NotTaken: the storage takes no file of that name
        """
