"""The files of runs and logged models: whether there are any, how many, and what changes in a copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import anyio

from bulkexim.artifacts import mlmodel
from bulkexim.artifacts.copier import CopiedFile, Copier
from bulkexim.artifacts.copying import Rewrite
from bulkexim.artifacts.place import Place
from bulkexim.artifacts.places import place, proxied_root, serviced, toll
from bulkexim.artifacts.walking import walk
from bulkexim.ends.server import Server
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Estimate, Filled
from bulkexim.kinds.run_values import Run
from bulkexim.kinds.scope import Pair


class Root(NamedTuple):
    """The artifact root of one object: its URI, and which object owns it."""

    location: str
    run_id: str | None = None
    model_id: str | None = None

    @property
    def owner(self) -> tuple[str, str]:
        """The kind of the object that owns it, and its id."""
        return ("run", self.run_id or "") if self.model_id is None else ("logged_model", self.model_id)

    def at(self, server: Server) -> Place:
        """Return the way to reach it through its server."""
        return place(server, self.location, run_id=self.run_id, model_id=self.model_id)


class RunFolders:
    """Knows, from one listing for each experiment, which runs have a folder at the artifact service."""

    def __init__(self, source: Server) -> None:
        self._source = source
        self._runs: dict[str, set[str]] = {}
        self._lock = anyio.Lock()

    @property
    def requests(self) -> int:
        """How many requests it took so far."""
        return len(self._runs) if self._source.folder is None else 0

    async def may_have_artifacts(self, run: Run) -> bool:
        """Return whether a run needs a listing of its own."""
        root = proxied_root(run.info.artifact_uri)
        if root is None or not root.endswith(f"/{run.info.run_id}/artifacts"):
            return True
        parent = root.removesuffix(f"/{run.info.run_id}/artifacts")
        async with self._lock:
            if parent not in self._runs:
                entries = await serviced(self._source, parent).entries("")
                self._runs[parent] = {entry.path for entry in entries}
        return run.info.run_id in self._runs[parent]


async def copy_files(
    pair: Pair, copier: Copier, source: Root, destination: Root, ids: Mapping[SourceId, str]
) -> Filled:
    """Copy everything below a root, and note it; ``MLmodel`` files get the ids and root of the destination."""
    new_ids = {str(old): new for old, new in ids.items()}
    new_roots = {source.location: destination.location}
    kind, src_id = source.owner

    def rewrite(path: str) -> Rewrite | None:
        if path.rpartition("/")[2] != mlmodel.NAME:
            return None
        return lambda content: mlmodel.rewritten(content, new_ids, new_roots)

    anew = True

    async def keep(files: Sequence[CopiedFile]) -> None:
        nonlocal anew
        first, anew = anew, False
        await pair.ledger.copied(kind, SourceId(src_id), ((path, *stored) for path, stored in files), anew=first)

    copied = await copier.copy(source.at(pair.source), destination.at(pair.destination), rewrite, keep)
    if anew:
        await keep(())
    return Filled(copied.bytes, left=tuple(copied.left))


async def count_files(pair: Pair, root: Root) -> Estimate:
    """Return what copying everything below a root would take."""
    sizes: list[int] = []
    folders = {""}
    async for entry in walk(root.at(pair.source)):
        if entry.left is None:
            sizes.append(entry.size)
            folders |= set(_folders(entry.path))
    src, dst = (toll(server, root.location) for server in (pair.source, pair.destination))
    read = len(folders) * src.listing + len(sizes) * src.reading
    return Estimate(read, sum(map(dst.writing, sizes)), len(sizes), sum(sizes))


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))
