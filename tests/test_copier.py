"""Artifacts between two real servers: whole, by their size, a bounded number at once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from bulkexim.artifacts.copier import AT_ONCE, WHOLE, Copied, Copier, Rewrite, addressable
from bulkexim.artifacts.place import Entry
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.stored import Stored
from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.errors import BadReply, Lost, Refused
from bulkexim.http.retry import Patience
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

    async def copy(self, copier: Copier | None = None) -> Copied:
        """Copy everything as it is."""
        return await (copier or self.copier).copy(
            Proxied(self.source, self.root), Proxied(self.destination, self.root), as_it_is
        )


@dataclass(frozen=True, slots=True)
class Tampered(Proxied):
    """A real root whose files are listed with another size, by so many bytes."""

    off: int = 0

    async def entries(self, folder: str) -> list[Entry]:
        found = await Proxied.entries(self, folder)
        return [entry if entry.is_dir else entry._replace(size=entry.size + self.off) for entry in found]


class Watched:
    """A destination in memory that counts what is written at once, and how much of it."""

    def __init__(self, *, chance: random.Random, refused: str = "") -> None:
        self.now = self.most = 0
        self.written: dict[str, bytes] = {}
        self._chance = chance
        self._refused = refused

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
            if path == self._refused:
                raise Refused("No.", status=413)
            assert isinstance(content, bytes)
            assert len(content) == size
            self.written[path] = content
        finally:
            self.now -= 1


def as_it_is(path: str) -> Rewrite | None:
    """Rewrite no file."""
    return None


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
    copied = await ends.copy()
    assert ends.files() == files
    assert (copied.files, copied.bytes, copied.unreachable) == (len(files), sum(map(len, files.values())), [])


@pytest.mark.parametrize("spooled", [False, True])
async def test_files_of_all_sizes_arrive(ends: Ends, tmp_path: Path, spooled: bool) -> None:
    sizes = [0, 1, WHOLE - 1, WHOLE, WHOLE + 1, LARGE]
    files = {f"{size}.bin": random.Random(size).randbytes(size) for size in sizes}
    ends.store(files)
    spool_dir = tmp_path / "spool"
    spool_dir.mkdir()
    copier = Copier(ends.source.client, ends.destination.client, spool_dir if spooled else None)
    copied = await ends.copy(copier)
    assert ends.files() == files
    assert copied.bytes == sum(sizes)
    assert copied.written == {name: Stored.of(content) for name, content in files.items()}
    assert list(spool_dir.iterdir()) == []


async def test_nothing_to_copy_is_nothing_copied(ends: Ends) -> None:
    assert await ends.copy() == Copied()


async def test_a_second_copy_replaces_what_is_there(ends: Ends) -> None:
    ends.store({"file": b"first, and longer"})
    await ends.copy()
    ends.store({"file": b"second"})
    await ends.copy()
    assert ends.files() == {"file": b"second"}


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("spooled", [False, True])
async def test_a_file_of_another_size_than_listed_is_an_error(
    ends: Ends,
    tmp_path: Path,
    off: int,
    size: int,
    spooled: bool,
) -> None:
    ends.store({"file": bytes(size)})
    copier = Copier(ends.source.client, ends.destination.client, tmp_path if spooled else None)
    with anyio.fail_after(30.0), pytest.raises(BadReply, match="that were listed"):
        await copier.copy(Tampered(ends.source, ends.root, off=off), Proxied(ends.destination, ends.root), as_it_is)
    assert copier.limit.borrowed_tokens == 0
    assert size + off not in map(len, ends.files().values())


async def test_names_that_the_server_cannot_address_are_reported_and_the_others_copied(ends: Ends) -> None:
    ends.store({"fine": b"1", "hash#tag": b"2", "odd%41": b"3", "folder/%20": b"4"})
    copied = await ends.copy()
    assert sorted(copied.unreachable) == ["folder/%20", "hash#tag", "odd%41"]
    assert ends.files() == {"fine": b"1"}
    assert copied.files == 1


@pytest.mark.parametrize(
    ("path", "can"),
    [
        ("a/b c", True),
        ("100%", True),
        ("50% off", True),
        ("%zz", True),
        ("ä", True),
        ("a%20b", False),
        ("%2525", False),
    ],
)
def test_a_name_is_addressable_unless_decoding_changes_it(path: str, can: bool) -> None:
    assert addressable(path) is can


async def test_only_the_files_that_are_rewritten_change(ends: Ends) -> None:
    ends.store({"model/MLmodel": b"old", "large/MLmodel": b"old" + bytes(LARGE), "other": b"old"})

    def rewrite(path: str) -> Rewrite | None:
        return (lambda content: content.replace(b"old", b"newer")) if path.endswith("/MLmodel") else None

    copied = await ends.copier.copy(Proxied(ends.source, ends.root), Proxied(ends.destination, ends.root), rewrite)
    assert ends.files() == {"model/MLmodel": b"newer", "large/MLmodel": b"newer" + bytes(LARGE), "other": b"old"}
    assert copied.bytes == len(b"newer") + len(b"newer") + LARGE + len(b"old")
    assert copied.written == {name: Stored.of(content) for name, content in ends.files().items()}


async def test_many_files_travel_at_once_but_not_all(ends: Ends) -> None:
    files = {f"{number % 7}/{number}": bytes(number) for number in range(150)}
    ends.store(files)
    watched = Watched(chance=random.Random(7))
    copier = ends.copier
    copied = await copier.copy(Proxied(ends.source, ends.root), watched, as_it_is)
    assert watched.written == files
    assert 1 < watched.most <= AT_ONCE
    assert (copied.files, copied.bytes) == (150, sum(range(150)))
    assert copier.limit.borrowed_tokens == 0


async def test_several_objects_share_the_limit(ends: Ends) -> None:
    ends.store({f"{number}": b"x" for number in range(40)})
    watched = Watched(chance=random.Random(8))
    copier = Copier(ends.source.client, ends.destination.client, limit=anyio.CapacityLimiter(3))
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(copier.copy, Proxied(ends.source, ends.root), watched, as_it_is)
    assert 1 < watched.most <= 3


async def test_a_refused_file_fails_the_copy_and_leaves_no_place_taken(ends: Ends) -> None:
    ends.store({f"{number}": b"x" for number in range(40)})
    watched = Watched(chance=random.Random(9), refused="20")
    copier = ends.copier
    with pytest.raises(Refused):
        await copier.copy(Proxied(ends.source, ends.root), watched, as_it_is)
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
        await ends.copier.copy(Gone(ends.source, ends.root), Proxied(ends.destination, ends.root), as_it_is)
    assert b"half" not in ends.files().values()
