"""Artifacts that a server gives and takes for the run or logged model that owns them, by its own access to storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from bulkexim.artifacts.names import below, below_listed
from bulkexim.artifacts.place import Entry, NotTaken, listed
from bulkexim.artifacts.proxied import Listing
from bulkexim.artifacts.served_names import name_problem
from bulkexim.ends.server import Server, quoted, segment
from bulkexim.left_behind import Cause, LeftBehind

#: Bytes that ``upload-artifact`` takes at most (``mlflow.server.handlers``); it takes no empty file either.
SMALL_UPLOAD = 10 * 1024 * 1024
_ONLY_ITS_CLIENTS = (
    "the destination keeps artifacts where only its own clients can write, unless it is started with --serve-artifacts"
    " and an --artifacts-destination"
)


@dataclass(frozen=True, slots=True)
class OfRun:
    """The root of a run; small files can be written, large and empty ones cannot."""

    server: Server
    run_id: str

    def unnamed(self, path: str) -> str:
        return name_problem(self.server, path)

    def declined(self, path: str, size: int) -> LeftBehind | None:
        if problem := self.unnamed(path):
            return LeftBehind(Cause.FILE_NAME, f"{path}: {problem}")
        return None if 0 < size <= SMALL_UPLOAD else _refused(path, size)

    async def entries(self, folder: str) -> list[Entry]:
        params = [("run_id", self.run_id), *([("path", folder)] if folder else [])]
        return await _every_entry(self.server, "artifacts/list", params, folder)

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.server.download("get-artifact", {"run_id": self.run_id, "path": path})

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        query = f"run_uuid={segment(self.run_id)}&path={quoted(below('', path))}"
        await self.server.client.upload("POST", f"ajax-api/2.0/mlflow/upload-artifact?{query}", content, size)


@dataclass(frozen=True, slots=True)
class OfLoggedModel:
    """The root of a logged model; it can only be read."""

    server: Server
    model_id: str

    def unnamed(self, path: str) -> str:
        return name_problem(self.server, path)

    def declined(self, path: str, size: int) -> LeftBehind | None:
        return _refused(path, size)

    async def entries(self, folder: str) -> list[Entry]:
        path = f"logged-models/{segment(self.model_id)}/artifacts/directories"
        params = [("artifact_directory_path", folder)] if folder else []
        return await _every_entry(self.server, path, params, folder)

    def read(self, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        route = f"ajax-api/2.0/mlflow/logged-models/{segment(self.model_id)}/artifacts/files"
        return self.server.download(route, {"artifact_file_path": path})

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        raise NotTaken(f"{path} ({size:,} bytes): {_ONLY_ITS_CLIENTS}.")


async def _every_entry(server: Server, route: str, params: Sequence[tuple[str, str]], folder: str) -> list[Entry]:
    found = []
    async for page in server.list(route, params, Listing, lambda page: page.next_page_token):
        found += [
            listed(folder, file.path, is_dir=file.is_dir, size=file.file_size, join=below_listed) for file in page.files
        ]
    return found


def _refused(path: str, size: int) -> LeftBehind:
    return LeftBehind(Cause.FILE_REFUSED, f"{path} ({size:,} bytes): {_ONLY_ITS_CLIENTS}")
