"""Artifacts that a server's artifact service gives and takes (``--serve-artifacts``, its default)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

import msgspec

from bulkexim.artifacts.names import below
from bulkexim.artifacts.place import Entry, Place
from bulkexim.ends.server import Server, quoted

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
    """A root that the server's artifact service owns; ``owner`` is the slower way to it."""

    server: Server
    root: str
    owner: Place | None = None

    async def entries(self, folder: str) -> list[Entry]:
        listing = await self.server.get(SERVICE, Listing, {"path": self.at(folder)})
        return [Entry(below(folder, file.path), file.is_dir, file.file_size) for file in listing.files]

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        if self.owner is not None and not (self.server.capabilities.names_any_file or _is_latin(path)):
            return self.owner.read(path)
        return self.server.download(f"{SERVICE[1:]}/{quoted(self.at(path))}")

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        await self.server.client.upload("PUT", f"{SERVICE[1:]}/{quoted(self.at(path))}", content, size)

    def at(self, path: str) -> str:
        """Return a path below the root as the service has it."""
        if not path:
            return below("", self.root) if self.root else ""
        return below(self.root, path)


def _is_latin(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.encode("latin-1", "ignore").decode("latin-1") == name
