"""The files of two objects: names and sizes, or every byte; and which side is not as it was copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio

from bulkexim.artifacts import mlmodel
from bulkexim.artifacts.checking import content, digested, listed
from bulkexim.artifacts.copier import AT_ONCE, addressable
from bulkexim.artifacts.place import Place
from bulkexim.artifacts.places import proxied_root
from bulkexim.artifacts.stored import Stored
from bulkexim.config import Level
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Remark
from bulkexim.kinds.compare.record import Record
from bulkexim.kinds.files import Root
from bulkexim.kinds.scope import Pair
from bulkexim.tasks import together


class FileSides(NamedTuple):
    """The field ``artifacts`` of both sides, with the files that differ; and those that MLflow cannot name."""

    expected: Mapping[str, Mapping[str, str]] = {}
    found: Mapping[str, Mapping[str, str]] = {}
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Files:
    """Compares the files below two roots, a bounded number of them at once over all objects.

    Of a file that differs, ``record`` says which side is not as it was copied; nothing else is taken from it.
    """

    pair: Pair
    level: Level
    record: Record = field(default_factory=Record)
    limit: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(AT_ONCE))

    async def sides(
        self, source: Root | None, destination: Root | None, ids: Mapping[SourceId, str], *, gone: bool = False
    ) -> FileSides:
        """Return what differs; a root is ``None`` where nothing is known to be. ``gone``: the owner is deleted.

        :raises ObjectError: one of the roots cannot be read
        """
        # Only the artifact service still gives the files of a logged model that is deleted.
        if not self.pair.settings.artifacts or (gone and source and proxied_root(source.location) is None):
            return FileSides()
        origin = source.at(self.pair.source) if source else None
        arrived = destination.at(self.pair.destination) if destination else None
        wanted = await listed(origin) if origin else {}
        there = await listed(arrived) if arrived else {}
        unnamed = [path for path in wanted if not addressable(path)]
        for path in unnamed:
            del wanted[path]
        if source and destination and origin:
            renewed = _Renewed(source.location, destination.location, {str(old): new for old, new in ids.items()})
            for path in wanted:
                if path.rpartition("/")[2] == mlmodel.NAME:
                    wanted[path] = renewed.stored(await content(self.pair.source.client, origin, path))
        if self.level is Level.FULL and origin and arrived:
            await self._read(origin, arrived, wanted, there)
        unlike = _unlike(wanted, there)
        copied = await self.record.files(source, destination) if unlike and source and destination else {}
        return FileSides(
            {"artifacts": {path: _told(wanted[path], copied.get(path)) for path in unlike & wanted.keys()}},
            {"artifacts": {path: _told(there[path], copied.get(path)) for path in unlike & there.keys()}},
            tuple(Remark("artifact name with % or #", path) for path in unnamed),
        )

    async def _read(self, origin: Place, arrived: Place, wanted: dict[str, Stored], there: dict[str, Stored]) -> None:
        """Put digests to all files that both sides have."""

        async def one(path: str) -> None:
            async with self.limit:
                if not wanted[path].sha256:
                    wanted[path] = await digested(self.pair.source.client, origin, path)
                there[path] = await digested(self.pair.destination.client, arrived, path)

        async with together() as tasks:
            for path in wanted.keys() & there.keys():
                tasks.start_soon(one, path)


class _Renewed(NamedTuple):
    """What an ``MLmodel`` file becomes on the way."""

    old_root: str
    new_root: str
    ids: Mapping[str, str]

    def stored(self, original: bytes) -> Stored:
        changed = mlmodel.rewritten(original, self.ids, {self.old_root: self.new_root})
        return Stored.of(changed)


def _unlike(wanted: Mapping[str, Stored], there: Mapping[str, Stored]) -> set[str]:
    """Return the paths of files that differ, or that one side lacks."""
    both = wanted.keys() & there.keys()
    return {path for path in both if not _same(wanted[path], there[path])} | (wanted.keys() ^ there.keys())


def _same(one: Stored, other: Stored) -> bool:
    """Compare sizes, and digests where both are known."""
    return one.size == other.size and (not (one.sha256 and other.sha256) or one.sha256 == other.sha256)


def _told(stored: Stored, copied: Stored | None) -> str:
    if copied is None:
        return str(stored)
    if not _same(stored, copied):
        return f"{stored} (changed since it was copied)"
    return f"{stored} ({'as it was copied' if stored.sha256 else 'the size that was copied'})"
