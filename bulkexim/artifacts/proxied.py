"""Artifacts that a server's artifact service gives and takes (``--serve-artifacts``, its default)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import msgspec

from bulkexim.artifacts.names import UnsafeName, inside, unsafe_inside
from bulkexim.artifacts.place import Entry, listed
from bulkexim.artifacts.served_names import name_problem, taken_for
from bulkexim.ends.server import Server, quoted
from bulkexim.errors import CallError
from bulkexim.left_behind import Cause, LeftBehind

ROUTES = "/api/2.0/mlflow-artifacts/"
SERVICE = f"{ROUTES}artifacts"
#: Bytes of a file that any storage can have (MLflow sends 64 bits).
LARGEST = 2**63 - 1


class _Listed(msgspec.Struct, frozen=True):
    path: str
    is_dir: bool = False
    file_size: Annotated[int, msgspec.Meta(ge=0, le=LARGEST)] = 0


class Listing(msgspec.Struct, frozen=True):
    """What stands in one folder."""

    files: tuple[_Listed, ...] = ()
    next_page_token: str | None = None


@dataclass(frozen=True, slots=True)
class Proxied:
    """A root that the server's artifact service owns."""

    server: Server
    root: str

    def unnamed(self, path: str) -> str:
        if not path:
            return ""  # A root that leads elsewhere is told as such when it is to be listed.
        if problem := self._root_problem():
            return f"its root {problem}"
        if problem := unsafe_inside(self.root, path):
            return f"with its root it {problem}"
        return name_problem(self.server, path, self.root)

    def _root_problem(self) -> str:
        unknown = self.root and taken_for(self.root, self.server.capabilities) is None
        return "is none that a server accepts in a request" if unknown else ""

    def sends(self, path: str) -> bool:
        """Return whether the service can send a file of this name, which it also puts into a header of its reply."""
        capabilities, name = self.server.capabilities, path.rpartition("/")[2]
        if capabilities.names_any_file or name.isascii():
            return True
        return capabilities.names_latin_files and name.encode("latin-1", "ignore").decode("latin-1") == name

    def declined(self, path: str, size: int) -> LeftBehind | None:
        problem = self.unnamed(path)
        return LeftBehind(Cause.FILE_NAME, f"{path}: {problem}") if problem else None

    async def entries(self, folder: str) -> list[Entry]:
        listing = await self.server.get(SERVICE, Listing, {"path": self.at(folder)})
        if not listing.files and _holds_itself(folder) and not await self._is_empty(folder):
            why = "it holds an object with an empty part in its name, or nothing"
            return [Entry(folder, is_dir=True, size=0).without(Cause.FILE_NAME, why)]
        return [listed(folder, file.path, is_dir=file.is_dir, size=file.file_size) for file in listing.files]

    async def _is_empty(self, folder: str) -> bool:
        """Return whether the service says that this is a folder, as it does where it keeps files on a disk."""
        try:
            async with self.read(folder):
                return False
        except CallError as error:
            return error.status == HTTPStatus.BAD_REQUEST

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.server.download(f"{SERVICE[1:]}/{quoted(self.at(path))}")

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        await self.server.client.upload("PUT", f"{SERVICE[1:]}/{quoted(self.at(path))}", content, size)

    def at(self, path: str) -> str:
        """Return a path below the root as the service has it.

        :raises UnsafeName: one of them leads elsewhere
        """
        if problem := self._root_problem():
            raise UnsafeName(self.root, problem)
        return inside(self.root, path)


def _holds_itself(folder: str) -> bool:
    """Return whether this may be how a server lists an object ``a//b`` of a bucket: as a folder ``a`` in ``a``."""
    above, _, name = folder.rpartition("/")
    return bool(above) and above.rpartition("/")[2] == name
