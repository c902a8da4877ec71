"""The files below an artifact root: every way there is to list them, and to read one.

The ways are the folder itself where this machine sees it, MLflow's artifact service, and the run or logged model that
owns the root.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol
from urllib.parse import quote, unquote, urlparse, urlsplit, urlunparse

import aiofiles
import msgspec
from aiofiles.threadpool.binary import AsyncBufferedReader
from anyio import to_thread

from bulkexim.ends.server import Server, segment
from bulkexim.errors import ObjectError

SERVICE = "/api/2.0/mlflow-artifacts/artifacts"
#: Folders above a file: a listing that lists its own folder ends here, or where so many folders go on below that.
DEEPEST, ENDLESS = 100, 20
CHUNK = 1024 * 1024
#: Characters of a path that a sentence repeats.
SHOWN = 80
_CIRCLE = "is a link to a folder above it"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

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


@dataclass(slots=True)
class Shown:
    """What a way shows of a root: every file by its path below it, and what it does not give, with the reason.

    The path of a folder ends with a slash; that of the root is "". ``listed`` are the folders that were listed, and
    ``circles``, among those that are not given, links to a folder above them.
    """

    files: dict[str, Stored] = field(default_factory=dict)
    unread: dict[str, ObjectError] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    circles: set[str] = field(default_factory=set)


class Way(Protocol):
    """One way to the files of a root."""

    async def shown(self, closed: Collection[str] = ()) -> Shown:
        """Return what it shows but for folders that are ``closed``; a folder that cannot be listed stops no other.

        :raises FatalError: it leads nowhere
        """

    def read(self, path: str) -> AbstractAsyncContextManager[Chunks]:
        """Open a file."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A server's way; ``entries`` takes the path of a folder, "" for the root itself."""

    entries: Callable[[str], Awaitable[list[Entry]]]
    read: Callable[[str], AbstractAsyncContextManager[Chunks]]

    async def shown(self, closed: Collection[str] = ()) -> Shown:
        shown, folders, known, ends = Shown(), [""], {""}, 0
        while folders:
            folder = folders.pop()
            name = f"{folder}/" if folder else ""
            if ends == ENDLESS:
                shown.unread[name] = _odd(folder, "is one of more than anybody can list")
                continue
            try:
                entries = await self.entries(folder)
            except ObjectError as error:
                shown.unread[name] = error
                continue
            known |= {name + entry.name for entry in entries if entry.is_dir}
            other = taken_for(folder)
            if other != folder and (not entries or other in known):
                shown.unread[name] = _odd(folder, f"is shown as if it were {other!r}")
                continue
            shown.listed.add(name)
            for entry in entries:
                path = name + entry.name
                if entry.is_dir and f"{path}/" in closed:
                    continue
                if problem := _problem(path):
                    shown.unread[f"{path}/" if entry.is_dir else path] = _odd(path, problem)
                elif entry.is_dir:
                    folders.append(path)
                else:
                    shown.files[path] = Stored(entry.size)
            ends += any(entry.is_dir and (name + entry.name).count("/") > DEEPEST for entry in entries)
        return shown


def taken_for(path: str) -> str:
    """Return the path that a server of today takes another one for: it decodes it, and takes it for an address."""
    try:
        return _CONTROL.sub("", urlunparse(urlparse(unquote(path)))).strip("/")
    except ValueError:
        return ""


def _problem(path: str) -> str:
    if path.count("/") > DEEPEST:
        return f"is more than {DEEPEST} folders deep"
    return "is no path" if {"", ".", ".."} & set(path.split("/")) else ""


def _odd(path: str, problem: str) -> ObjectError:
    shown = path if len(path) <= SHOWN else f"{path[:SHOWN]}…"
    return ObjectError("unsafe file name", f"The name {shown!r} {problem}.")


@dataclass(frozen=True, slots=True)
class Seen:
    """The folder itself."""

    folder: Path

    async def shown(self, closed: Collection[str] = ()) -> Shown:
        return await to_thread.run_sync(self._shown, closed)

    def _shown(self, closed: Collection[str]) -> Shown:
        shown, folders = Shown(), [""]
        while folders:
            folder = folders.pop()
            name = f"{folder}/" if folder else ""
            try:
                with os.scandir(self.folder / folder) as found:
                    entries = list(found)
            except FileNotFoundError:
                entries = []  # A root without any file does not exist.
            except OSError as error:
                shown.unread[_text(name)] = _unreadable(error)
                continue
            shown.listed.add(_text(name))
            below = [entry for entry in entries if _text(f"{name}{entry.name}/") not in closed]
            folders += [name + entry.name for entry in below if self._is_folder(shown, name, entry)]
        return shown

    def _is_folder(self, shown: Shown, above: str, entry: os.DirEntry[str]) -> bool:
        """Return whether to go on into a folder; anything else is noted. As a server does, this follows links."""
        path = above + entry.name
        try:
            is_dir, problem = entry.is_dir(), _problem(path) or _oddity(entry)
            if not problem and is_dir:
                return True
            if not problem:
                shown.files[_text(path)] = Stored(entry.stat().st_size)
                return False
        except OSError as error:
            shown.unread[_text(path)] = _unreadable(error)
            return False
        told = _text(f"{path}/" if is_dir else path)
        shown.unread[told] = _odd(_text(path), problem)
        if problem == _CIRCLE:
            shown.circles.add(told)
        return False

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


def _oddity(entry: os.DirEntry[str]) -> str:
    """Say why nobody should open this."""
    if entry.is_dir():
        return _CIRCLE if entry.is_symlink() and _leads_up(Path(entry.path)) else ""
    return "" if entry.is_file() or entry.is_symlink() else "is neither a file nor a folder"


def _leads_up(link: Path) -> bool:
    """Return whether a link leads to a folder in which it is met again, also by way of another link."""
    target = link.resolve()
    return any(above.resolve().is_relative_to(target) for above in link.parents)


def _text(path: str) -> str:
    # A name that is no text in UTF-8 is shown in escapes, as a migration tells it.
    return path.encode(errors="backslashreplace").decode()


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
