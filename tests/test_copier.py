"""Artifacts between two real servers: whole, by their size, a bounded number at once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import anyio
import pytest
from anyio.lowlevel import checkpoint

from bulkexim.artifacts.copier import AT_ONCE, Copied, Copier
from bulkexim.artifacts.copying import WHOLE, Rewrite
from bulkexim.artifacts.place import Entry
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.stored import Stored
from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.errors import CallError, Lost, Refused, ServerFault
from bulkexim.http.retry import Patience
from bulkexim.left_behind import Cause, LeftBehind
from tests.support.copying import Brought, copied
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.anyio

#: How the server names a file that it has not received whole.
ASIDE = ".artifact.uploading."

LARGE = WHOLE + 12_345


@dataclass
class Ends:
    """A root at each of two servers, and the folders in which the servers keep them."""

    source: Server
    destination: Server
    root: str
    stored: Path
    arrived: Path

    @property
    def copier(self) -> Copier:
        return Copier(self.source.client, self.destination.client)

    def store(self, files: dict[str, bytes]) -> None:
        """Put files below the source's root."""
        for name, content in files.items():
            path = self.stored / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def files(self) -> dict[str, bytes]:
        """Return what is below the destination's root."""
        # The server writes a file aside and renames it; one that is aside has not arrived.
        paths = [path for path in self.arrived.rglob("*") if path.is_file() and not path.name.startswith(ASIDE)]
        return {path.relative_to(self.arrived).as_posix(): path.read_bytes() for path in paths}

    async def copy(self, copier: Copier | None = None) -> Brought:
        """Copy everything as it is."""
        return await copied(
            copier or self.copier, Proxied(self.source, self.root), Proxied(self.destination, self.root)
        )


@dataclass(frozen=True, slots=True)
class Tampered(Proxied):
    """A real root whose files are listed with another size, by so many bytes."""

    off: int = 0
    only: str = ""

    async def entries(self, folder: str) -> list[Entry]:
        found = await Proxied.entries(self, folder)
        return [entry._replace(size=entry.size + self.off) if self._tampers(entry) else entry for entry in found]

    def _tampers(self, entry: Entry) -> bool:
        return not entry.is_dir and self.only in ("", entry.path)


@dataclass(frozen=True, slots=True)
class Growing(Proxied):
    """A real root one of whose files grows after each listing, so many times."""

    path: Path
    times: int
    grown: list[str] = field(default_factory=list)

    async def entries(self, folder: str) -> list[Entry]:
        found = await Proxied.entries(self, folder)
        if len(self.grown) < self.times:
            self.grown.append(folder)
            with self.path.open("ab") as file:
                file.write(b" more")
        return found


class Watched:
    """A destination in memory that counts what is written at once, and how much of it."""

    def __init__(self, *, chance: random.Random, fails: Mapping[str, CallError] = MappingProxyType({})) -> None:
        self.now = self.most = 0
        self.written: dict[str, bytes] = {}
        self._chance = chance
        self._fails = fails

    def unnamed(self, path: str) -> str:
        raise AssertionError(f"nobody reads {path} at the destination")

    def declined(self, path: str, size: int) -> LeftBehind | None:
        return None

    async def entries(self, folder: str) -> list[Entry]:
        raise AssertionError(f"nobody lists {folder} at the destination")

    @asynccontextmanager
    async def read(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        raise AssertionError(f"nobody reads {path} at the destination")
        yield

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(self._chance.randrange(50)):
                await checkpoint()
            if path in self._fails:
                raise self._fails[path]
            assert isinstance(content, bytes)
            assert len(content) == size
            self.written[path] = content
        finally:
            self.now -= 1


@pytest.fixture(scope="module")
def both(servers: Servers) -> tuple[MlflowServer, MlflowServer]:
    return servers.start(), servers.start()


@pytest.fixture
async def ends(both: tuple[MlflowServer, MlflowServer], tmp_path: Path) -> AsyncIterator[Ends]:
    patience = Patience(seconds=0.0, fault_tries=1)
    root = f"{tmp_path.name}/artifacts"
    async with AsyncExitStack() as stack:
        source, destination = [
            await stack.enter_async_context(connected(Endpoint(uri=server.url), name, patience=patience))
            for server, name in zip(both, ("source", "destination"), strict=True)
        ]
        yield Ends(source, destination, root, both[0].artifacts / root, both[1].artifacts / root)


NAMES = [
    "plain.txt",
    "a folder/with space.txt",
    "ä/ö ü.txt",
    "plus+and&amp=.txt",
    "what?.txt",
    "deep/er/and/deeper.bin",
    "100%",
]


async def test_every_file_arrives_byte_for_byte_under_its_name(ends: Ends) -> None:
    files = {name: name.encode() * number for number, name in enumerate(NAMES)}
    ends.store(files)
    brought = await ends.copy()
    assert ends.files() == files
    assert brought.left == []


@pytest.mark.parametrize("spooled", [False, True])
async def test_files_of_all_sizes_arrive(ends: Ends, tmp_path: Path, spooled: bool) -> None:
    sizes = [0, 1, WHOLE - 1, WHOLE, WHOLE + 1, LARGE]
    files = {f"{size}.bin": random.Random(size).randbytes(size) for size in sizes}
    ends.store(files)
    spool_dir = tmp_path / "spool"
    spool_dir.mkdir()
    copier = Copier(ends.source.client, ends.destination.client, spool_dir if spooled else None)
    brought = await ends.copy(copier)
    assert ends.files() == files
    assert brought.written == {name: Stored.of(content) for name, content in files.items()}
    assert list(spool_dir.iterdir()) == []


async def test_a_large_file_is_told_a_piece_at_a_time(ends: Ends) -> None:
    ends.store({"large": bytes(3 * WHOLE + 1)})
    brought = await ends.copy()
    *pieces, last = brought.told
    assert len(pieces) >= 2
    assert all(files == 0 and size >= WHOLE for files, size in pieces)
    assert last[0] == 1


async def test_nothing_to_copy_is_nothing_copied(ends: Ends) -> None:
    assert await ends.copy() == Brought(Copied())


async def test_a_second_copy_replaces_what_is_there(ends: Ends) -> None:
    ends.store({"file": b"first, and longer"})
    await ends.copy()
    ends.store({"file": b"second"})
    await ends.copy()
    assert ends.files() == {"file": b"second"}


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("spooled", [False, True])
async def test_a_file_of_another_size_than_its_listing_says_stays_behind(
    ends: Ends,
    tmp_path: Path,
    off: int,
    size: int,
    spooled: bool,
) -> None:
    ends.store({"file": bytes(size), "other": b"as listed"})
    copier = Copier(ends.source.client, ends.destination.client, tmp_path if spooled else None)
    place = Tampered(ends.source, ends.root, off=off, only="file")
    with anyio.fail_after(30.0):
        brought = await copied(copier, place, Proxied(ends.destination, ends.root))
    (left,) = brought.left
    assert left.cause is Cause.FILE_UNREADABLE
    assert left.detail.startswith("file: ") and "that were listed" in left.detail
    assert copier.limit.borrowed_tokens == 0
    assert ends.files() == {"other": b"as listed"}


async def test_a_file_that_grew_since_it_was_listed_is_copied_as_it_is_by_now(ends: Ends) -> None:
    ends.store({"log.txt": b"one", "old.txt": b"as it was"})
    place = Growing(ends.source, ends.root, ends.stored / "log.txt", times=2)
    brought = await copied(ends.copier, place, Proxied(ends.destination, ends.root))
    assert brought.left == []
    assert ends.files() == {"log.txt": b"one more more", "old.txt": b"as it was"}


async def test_a_file_that_never_stops_growing_stays_behind_and_the_others_arrive(ends: Ends) -> None:
    ends.store({"log.txt": b"one", "old.txt": b"as it was"})
    place = Growing(ends.source, ends.root, ends.stored / "log.txt", times=1000)
    brought = await copied(ends.copier, place, Proxied(ends.destination, ends.root))
    assert brought.paths_left == {"log.txt": "file-unreadable"}
    assert ends.files() == {"old.txt": b"as it was"}


async def test_only_the_files_that_are_rewritten_change(ends: Ends) -> None:
    ends.store({"model/MLmodel": b"old", "large/MLmodel": b"old" + bytes(LARGE), "other": b"old"})

    def rewrite(path: str) -> Rewrite | None:
        return (lambda content: content.replace(b"old", b"newer")) if path.endswith("/MLmodel") else None

    places = Proxied(ends.source, ends.root), Proxied(ends.destination, ends.root)
    brought = await copied(ends.copier, *places, rewrite)
    assert ends.files() == {"model/MLmodel": b"newer", "large/MLmodel": b"newer" + bytes(LARGE), "other": b"old"}
    assert brought.written == {name: Stored.of(content) for name, content in ends.files().items()}


async def test_many_files_travel_at_once_but_not_all(ends: Ends) -> None:
    files = {f"{number % 7}/{number}": bytes(number) for number in range(150)}
    ends.store(files)
    watched = Watched(chance=random.Random(7))
    copier = ends.copier
    brought = await copied(copier, Proxied(ends.source, ends.root), watched)
    assert watched.written == files
    assert 1 < watched.most <= AT_ONCE
    assert brought.written.keys() == files.keys()
    assert copier.limit.borrowed_tokens == 0


async def test_several_objects_share_the_limit(ends: Ends) -> None:
    ends.store({f"{number}": b"x" for number in range(40)})
    watched = Watched(chance=random.Random(8))
    copier = Copier(ends.source.client, ends.destination.client, limit=anyio.CapacityLimiter(3))
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(copied, copier, Proxied(ends.source, ends.root), watched)
    assert 1 < watched.most <= 3


async def test_a_file_that_is_refused_stays_behind_alone(ends: Ends) -> None:
    ends.store({f"{number}": b"x" for number in range(40)})
    watched = Watched(chance=random.Random(9), fails={"20": Refused("No, too large.", status=413)})
    brought = await copied(ends.copier, Proxied(ends.source, ends.root), watched)
    assert brought.left == [LeftBehind(Cause.FILE_REFUSED, "20: No, too large.")]
    assert brought.written.keys() == watched.written.keys() == {f"{number}" for number in range(40)} - {"20"}


async def test_a_destination_that_fails_fails_the_copy_and_leaves_no_place_taken(ends: Ends) -> None:
    ends.store({f"{number}": b"x" for number in range(40)})
    watched = Watched(chance=random.Random(9), fails={"20": ServerFault("The disk is full.", status=500)})
    copier = ends.copier
    with pytest.raises(ServerFault, match="The disk is full"):
        await copied(copier, Proxied(ends.source, ends.root), watched)
    assert copier.limit.borrowed_tokens == 0
    assert watched.now == 0


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
async def test_a_source_that_is_gone_is_told_as_such(ends: Ends, size: int) -> None:
    class Gone(Tampered):
        @asynccontextmanager
        async def read(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
            yield self._broken()

        async def _broken(self) -> AsyncIterator[bytes]:
            yield b"half"
            raise Lost("source GET: the reply broke off.")

    ends.store({"file": bytes(size)})
    with anyio.fail_after(30.0), pytest.raises(Lost, match="source GET: the reply broke off"):
        await copied(ends.copier, Gone(ends.source, ends.root), Proxied(ends.destination, ends.root))
    assert b"half" not in ends.files().values()
