"""The files of a local store, read from its folders: no name of theirs has to stand in a request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from bulkexim.artifacts.place import Entry, NotTaken, Unreadable
from bulkexim.artifacts.seen import Seen
from bulkexim.left_behind import Cause, LeftBehind

#: What a server calls a file that it is still writing (``mlflow.store.artifact.local_artifact_repo``); it lists none.
_UNFINISHED = ".artifact.uploading."
_LEADS_OUT = "it is a link to something outside"


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A root of a local store, which is only read. Links are followed inside ``limit``, as MLflow's server does.

    Somebody else may have made the store: a link to a private file of this machine must not be copied to a server.
    """

    root: Seen
    limit: Path

    def unnamed(self, path: str) -> str:
        return self.root.unnamed(path)

    def declined(self, path: str, size: int) -> LeftBehind | None:
        return None

    async def entries(self, folder: str) -> list[Entry]:
        found = await self.root.entries(folder)
        return await to_thread.run_sync(self._inside, found)

    def _inside(self, found: list[Entry]) -> list[Entry]:
        limit, listed = self.limit.resolve(), []
        for entry in found:
            path = self.root.folder / entry.path
            if entry.path.rpartition("/")[2].startswith(_UNFINISHED):
                continue
            if entry.left is None and _is_link(path) and not _is_inside(path, limit):
                listed.append(entry.without(Cause.FILE_UNREADABLE, _LEADS_OUT))
            else:
                listed.append(entry)
        return listed

    @asynccontextmanager
    async def read(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        if not await to_thread.run_sync(_is_inside, self.root.folder / path, self.limit.resolve()):
            raise Unreadable(f"{path}: {_LEADS_OUT}.")
        async with self.root.read(path) as chunks:
            yield chunks

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        raise NotTaken(f"{path}: a local store is only read.")


@dataclass(frozen=True, slots=True)
class NotHere:
    """A root of a local store whose files a server keeps; ``service`` is the folder where it would keep them here."""

    service: Path

    def unnamed(self, path: str) -> str:
        return ""

    def declined(self, path: str, size: int) -> LeftBehind | None:
        return None

    async def entries(self, folder: str) -> list[Entry]:
        why = f"they are kept by the server that the store belongs to, and there is no {self.service}"
        return [Entry(folder, is_dir=True, size=0).without(Cause.FILE_UNREADABLE, why)]

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise Unreadable(f"{path}: there is no {self.service}.")

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        raise NotTaken(f"{path}: a local store is only read.")


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except OSError:
        return False  # Its path is too long for this machine, which tells so when it is opened.


def _is_inside(path: Path, limit: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(limit)
    except (OSError, RuntimeError):
        return True  # It is told as what it is when it is opened: missing, unreadable, or a circle of links.
