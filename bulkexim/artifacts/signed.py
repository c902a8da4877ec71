"""Artifacts in object storage that is entered by signed addresses: the bytes pass no MLflow server.

MLflow signs addresses of S3, for uploads also of Google Cloud Storage and Azure (``MultipartUploadMixin`` and
``MultipartDownloadMixin`` of ``mlflow.store.artifact.artifact_repo``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import anyio
import msgspec

from bulkexim.artifacts.place import Entry
from bulkexim.artifacts.proxied import ROUTES, Proxied
from bulkexim.ends.capabilities import Nothing
from bulkexim.ends.server import Server, quoted
from bulkexim.errors import BadReply, BulkeximError, Lost, ObjectError, Refused, Unsure
from bulkexim.http.retry import Repeat
from bulkexim.http.storage import Storage
from bulkexim.left_behind import LeftBehind
from bulkexim.tasks import together

T = TypeVar("T")

#: Bytes of a part, which is held in memory until it is stored; storage takes so many parts for one file.
PART, MOST_PARTS = 16 * 1024 * 1024, 10_000
#: Seconds for an upload that failed to be taken back.
UNDOING = 10.0


class _Address(msgspec.Struct, frozen=True, eq=False):
    url: str
    headers: Mapping[str, str] = {}


class _Upload(msgspec.Struct, frozen=True):
    """An upload that was begun: the address of each part. Azure names it by its parts alone."""

    credentials: tuple[_Address, ...] = ()
    upload_id: str = ""


class _Part(msgspec.Struct, frozen=True):
    part_number: int
    etag: str
    url: str


@dataclass(frozen=True, slots=True)
class Signed:
    """A root of a server's artifact service, in the storage behind it; small files are written through the service."""

    service: Proxied
    storage: Storage

    @property
    def _server(self) -> Server:
        return self.service.server

    def unnamed(self, path: str) -> str:
        return self.service.unnamed(path)

    def declined(self, path: str, size: int) -> LeftBehind | None:
        return self.service.declined(path, size)

    def sends(self, path: str) -> bool:
        """Return whether a file of this name can be sent: storage puts no name into its reply."""
        return self._server.capabilities.signs_downloads or self.service.sends(path)

    async def entries(self, folder: str) -> list[Entry]:
        return await self.service.entries(folder)

    @asynccontextmanager
    async def read(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        if not self._server.capabilities.signs_downloads:
            async with self.service.read(path) as chunks:
                yield chunks
            return
        signed = await self._server.get(f"{ROUTES}presigned/{quoted(self.service.at(path))}", _Address)
        async with AsyncExitStack() as stack:
            with _explained(self.storage, missing=True):
                download = self.storage.client.download(self.storage.route(signed.url), headers=signed.headers)
                chunks = await stack.enter_async_context(download)
            yield chunks

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        if isinstance(content, bytes) or size <= PART or not self._server.capabilities.signs_uploads:
            await self.service.write(path, content, size)
            return
        length, expected = _parts(size)
        upload = await self._ask("create", path, {"num_parts": expected}, _Upload)
        if len(upload.credentials) != expected:
            raise BadReply(f"{path}: the server signed {len(upload.credentials)} parts in place of {expected}.")
        named = {"upload_id": upload.upload_id} if upload.upload_id else {}
        try:
            parts = await self._stored(upload, _cut(content, length))
            await self._ask("complete", path, {**named, "parts": parts}, Nothing)
        except BaseException:
            with anyio.move_on_after(UNDOING, shield=True), suppress(BulkeximError):
                await self._ask("abort", path, named, Nothing)
            raise

    async def _ask(self, step: str, path: str, body: Mapping[str, Any], reply: type[T]) -> T:
        """Make one step of an upload. A step whose outcome is unknown has the file sent anew, in another upload."""
        folder, _, name = self.service.at(path).rpartition("/")
        route = f"{ROUTES}mpu/{step}/{quoted(folder)}"
        try:
            return await self._server.post(route, {"path": name, **body}, reply, Repeat.ONCE)
        except Unsure as error:
            raise Lost(error.problem) from error

    async def _stored(self, upload: _Upload, pieces: AsyncIterator[bytes]) -> list[_Part]:
        """Store the pieces of a file side by side; each is repeated alone, for it is at hand."""
        done, limit = dict[int, _Part](), self.storage.parts

        async def put(number: int, address: _Address, piece: bytes) -> None:
            try:
                done[number] = _Part(number, await self._put(address, piece), address.url)
            finally:
                limit.release_on_behalf_of(address)

        async with together() as tasks:
            for number, address in enumerate(upload.credentials, start=1):
                # Room first: a piece that waits for it would be one more in memory.
                await limit.acquire_on_behalf_of(address)
                try:
                    piece = await anext(pieces)
                except BaseException:
                    limit.release_on_behalf_of(address)
                    raise
                tasks.start_soon(put, number, address, piece)
        return [done[number] for number in sorted(done)]

    async def _put(self, address: _Address, piece: bytes) -> str:
        client, route = self.storage.client, self.storage.route(address.url)
        with _explained(self.storage):
            sent = client.insist(
                lambda: client.upload("PUT", route, piece, len(piece), address.headers), f"{client.name} PUT"
            )
            return str((await sent).get("etag", ""))


def to_write(size: int) -> int:
    """Return how many requests storing a file takes."""
    return 1 if size <= PART else 2 + _parts(size)[1]


def _parts(size: int) -> tuple[int, int]:
    """Return the length of a part, and how many there are."""
    length = max(PART, -(-size // MOST_PARTS))
    return length, -(-size // length)


async def _cut(content: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """Yield a stream in pieces of ``length`` bytes; the last one comes when the stream has ended."""
    piece = bytearray()
    async for chunk in content:
        piece += chunk
        while len(piece) > length:
            yield bytes(piece[:length])
            del piece[:length]
    if piece:
        yield bytes(piece)


@contextmanager
def _explained(storage: Storage, *, missing: bool = False) -> Iterator[None]:
    """Say of storage that declines what that means: the address was signed, so it is not us that it does not know.

    With ``missing``, something may just not be there, which is no matter of rights.
    """
    try:
        yield
    except Refused as error:
        if missing and error.status == HTTPStatus.NOT_FOUND:
            raise
        remedy = "The server's own rights there do not do, or the file took longer than a signed address holds. Without"
        raise ObjectError(
            "storage declines", error.problem, f"{remedy} {storage.flag} it goes through the server."
        ) from error
