"""The files below an artifact root: every way there is to list them, and to read one.

The ways are the folder itself where this machine sees it, MLflow's artifact service, and the run or logged model that
owns the root.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

import aiofiles
import msgspec
from aiofiles.threadpool.binary import AsyncBufferedReader
from anyio import to_thread

from bulkexim.ends.server import Server, segment
from bulkexim.errors import ObjectError

SERVICE = "/api/2.0/mlflow-artifacts/artifacts"
#: Folders above a file: a listing that lists its own folder ends here.
DEEPEST = 100
CHUNK = 1024 * 1024
#: Characters of a path that a sentence repeats.
SHOWN = 80

Chunks = AsyncIterator[bytes]


class Stored(NamedTuple):
    """A file as it is stored: its size in bytes and, where they were read, the digest of its bytes."""

    size: int
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.size:,} bytes" + (f", sha256 {self.sha256}" if self.sha256 else "")


class Entry(NamedTuple):
    """What a folder holds: a name in it, whether that is a folder again, and its size in bytes."""

    name: str
    is_dir: bool
    size: int


class _File(msgspec.Struct, frozen=True):
    path: str
    is_dir: bool = False
    file_size: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Listing(msgspec.Struct, frozen=True):
    files: tuple[_File, ...] = ()
    next_page_token: str | None = None


class Way(Protocol):
    """One way to the files of a root."""

    async def files(self) -> dict[str, Stored]:
        """Return every file by its path below the root.

        :raises ObjectError: a folder cannot be listed
        """

    def read(self, path: str) -> AbstractAsyncContextManager[Chunks]:
        """Open a file."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A server's way; ``entries`` takes the path of a folder, "" for the root itself."""

    entries: Callable[[str], Awaitable[list[Entry]]]
    read: Callable[[str], AbstractAsyncContextManager[Chunks]]

    async def files(self) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            for entry in await self.entries(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if not entry.is_dir:
                    found[path] = Stored(entry.size)
                elif path.count("/") >= DEEPEST or entry.name in {"", ".", ".."}:
                    raise ObjectError("unsafe file name", f"The server lists a folder {path[:SHOWN]!r} without an end.")
                else:
                    folders.append(path)
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """The folder itself."""

    folder: Path

    async def files(self) -> dict[str, Stored]:
        return await to_thread.run_sync(self._files)

    def _files(self) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        try:
            # As a server does, it follows links.
            for place, folders, names in os.walk(self.folder, onerror=_raised, followlinks=True):
                inside = Path(place).relative_to(self.folder)
                if len(inside.parts) >= DEEPEST:
                    folders.clear()
                found |= {_text(inside / name): Stored((Path(place) / name).stat().st_size) for name in names}
        except OSError as error:
            raise _unreadable(error) from error
        return found

    @asynccontextmanager
    async def read(self, path: str) -> AsyncIterator[Chunks]:
        try:
            async with aiofiles.open(self.folder / path, "rb") as file:
                yield _chunks(file)
        except OSError as error:
            raise _unreadable(error) from error


async def _chunks(file: AsyncBufferedReader) -> Chunks:
    while chunk := await file.read(CHUNK):
        yield chunk


def _raised(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # A root without any file does not exist.
        raise error


def _text(path: Path) -> str:
    # A name that is no text in UTF-8 is shown in escapes.
    return path.as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")


def _unreadable(error: OSError) -> ObjectError:
    return ObjectError("file cannot be read", f"{error.filename}: {error.strerror}.", "Check it and its rights.")


@dataclass(frozen=True, slots=True)
class Root:
    """The artifact root of a run or logged model at one server; ``gone`` says that its owner is deleted."""

    server: Server
    location: str
    kind: str
    id: str
    gone: bool = False

    @property
    def proxied(self) -> str | None:
        """The path of the root at the artifact service, or ``None`` for any other storage."""
        parts = urlsplit(self.location)
        return parts.path.strip("/") if parts.scheme == "mlflow-artifacts" else None

    @property
    def beside(self) -> str | None:
        """The folder of the artifact service in which this root stands beside all others of its experiment."""
        end = f"/{self.id}/artifacts"
        return self.proxied.removesuffix(end) if self.proxied is not None and self.proxied.endswith(end) else None

    def ways(self, *, through_service: bool = True) -> list[Way]:
        """Return every way to the files, the nearest first; without the artifact service where it knows of none."""
        found: list[Way] = []
        if (folder := self._folder()) is not None:
            found.append(Seen(folder))
        if self.proxied is not None and through_service:
            found.append(serviced(self.server, self.proxied))
        if self.kind == "run":
            found.append(_of_run(self.server, self.id))
        elif not self.gone:
            found.append(_of_logged_model(self.server, self.id))
        return found

    def _folder(self) -> Path | None:
        """Return the folder itself: of a local store, or where that of the artifact service is known."""
        if self.server.local is not None:
            return self.server.local.folder(self.location, self.kind, self.id)
        service = self.server.folder
        if service is None or self.proxied is None or ".." in self.proxied.split("/"):
            return None
        return service / self.proxied


def serviced(server: Server, root: str) -> Asked:
    """Return the way through the artifact service to the files below a path of its own."""

    def at(path: str) -> str:
        return "/".join(filter(None, (root, path)))

    async def entries(folder: str) -> list[Entry]:
        listing = await server.get(SERVICE, _Listing, {"path": at(folder)})
        return [Entry(file.path, file.is_dir, file.file_size) for file in listing.files]

    return Asked(entries, lambda path: server.download(f"{SERVICE[1:]}/{quote(at(path))}"))


def _of_run(server: Server, run_id: str) -> Asked:
    async def entries(folder: str) -> list[Entry]:
        return await _owned(server, "artifacts/list", {"run_id": run_id} | ({"path": folder} if folder else {}), folder)

    return Asked(entries, lambda path: server.download("get-artifact", {"run_id": run_id, "path": path}))


def _of_logged_model(server: Server, model_id: str) -> Asked:
    base = f"logged-models/{segment(model_id)}/artifacts"

    async def entries(folder: str) -> list[Entry]:
        return await _owned(
            server, f"{base}/directories", {"artifact_directory_path": folder} if folder else {}, folder
        )

    route = f"ajax-api/2.0/mlflow/{base}/files"
    return Asked(entries, lambda path: server.download(route, {"artifact_file_path": path}))


async def _owned(server: Server, route: str, params: dict[str, str], folder: str) -> list[Entry]:
    """Return the entries of a folder as its owner lists them: by their paths below the root, in pages."""
    found: list[Entry] = []
    token: str | None = ""
    while token is not None:
        page = await server.get(route, _Listing, params | ({"page_token": token} if token else {}))
        found += [
            Entry(file.path.removeprefix(f"{folder}/") if folder else file.path, file.is_dir, file.file_size)
            for file in page.files
        ]
        token = page.next_page_token or None
    return found
