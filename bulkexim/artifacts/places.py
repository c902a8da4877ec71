"""Where the artifacts of one object are, and how a server gives or takes them.

Objects whose root is proxied (``mlflow-artifacts:``) are reached by the artifact service, which needs no database, in
its folder or in its storage; any other root through the run or logged model that owns it, with the server's own access.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from bulkexim.artifacts.names import below, below_listed
from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.proxied import Listing, Proxied
from bulkexim.artifacts.seen import Seen
from bulkexim.artifacts.signed import Signed, to_write
from bulkexim.ends.server import Server, quoted, segment
from bulkexim.errors import ObjectError

#: Bytes that ``upload-artifact`` takes at most (``mlflow.server.handlers``).
SMALL_UPLOAD = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OfRun:
    """The root of a run that is not proxied; small files can be written, large ones cannot."""

    server: Server
    run_id: str

    async def entries(self, folder: str) -> list[Entry]:
        params = [("run_id", self.run_id), *([("path", folder)] if folder else [])]
        return await _every_entry(self.server, "artifacts/list", params, folder)

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.server.download("get-artifact", {"run_id": self.run_id, "path": path})

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        if not 0 < size <= SMALL_UPLOAD:
            raise _unreachable(f"{path} ({size:,} bytes)")
        query = f"run_uuid={segment(self.run_id)}&path={quoted(below('', path))}"
        await self.server.client.upload("POST", f"ajax-api/2.0/mlflow/upload-artifact?{query}", content, size)


@dataclass(frozen=True, slots=True)
class OfLoggedModel:
    """The root of a logged model that is not proxied; it can only be read."""

    server: Server
    model_id: str

    async def entries(self, folder: str) -> list[Entry]:
        path = f"logged-models/{segment(self.model_id)}/artifacts/directories"
        params = [("artifact_directory_path", folder)] if folder else []
        return await _every_entry(self.server, path, params, folder)

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        route = f"ajax-api/2.0/mlflow/logged-models/{segment(self.model_id)}/artifacts/files"
        return self.server.download(route, {"artifact_file_path": path})

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        raise _unreachable(f"{path} ({size:,} bytes)")


def place(server: Server, location: str, *, run_id: str | None = None, model_id: str | None = None) -> Place:
    """Return the place of an object by its artifact root, a URI that its server gave."""
    owner: Place = OfRun(server, run_id or "") if model_id is None else OfLoggedModel(server, model_id)
    proxied = proxied_root(location)
    return owner if proxied is None else serviced(server, proxied, owner)


def serviced(server: Server, root: str, owner: Place | None = None) -> Place:
    """Return the place of a root at the artifact service: in its folder or its storage, where one was given."""
    if server.folder is not None:
        return Seen(server.folder, root, server.client.traffic)
    service = Proxied(server, root, owner)
    return service if server.storage is None else Signed(service, server.storage)


class Toll(NamedTuple):
    """Requests that a folder takes to be listed, and a file to be read or written, by its size in bytes."""

    listing: int = 1
    reading: int = 1
    writing: Callable[[int], int] = lambda _: 1


def toll(server: Server, location: str) -> Toll:
    """Return what the files of a root cost, or would if the destination had one like it."""
    proxied = proxied_root(location) is not None
    if proxied and server.folder is not None:
        return Toll(0, 0, lambda _: 0)
    if proxied and server.storage is not None:
        return Toll(reading=1 + server.capabilities.signs_downloads, writing=to_write)
    return Toll()


def proxied_root(location: str) -> str | None:
    """Return the path of a proxied root at the artifact service, or ``None`` for any other storage."""
    parts = urlsplit(location)
    return parts.path.strip("/") if parts.scheme == "mlflow-artifacts" else None


async def _every_entry(server: Server, route: str, params: Sequence[tuple[str, str]], folder: str) -> list[Entry]:
    found = []
    async for page in server.list(route, params, Listing, lambda page: page.next_page_token):
        found += [Entry(below_listed(folder, file.path), file.is_dir, file.file_size) for file in page.files]
    return found


def _unreachable(what: str) -> ObjectError:
    return ObjectError(
        "storage out of reach",
        f"The destination keeps artifacts where only its own clients can write, so {what} cannot be stored.",
        "Start it with --serve-artifacts and an --artifacts-destination.",
    )
