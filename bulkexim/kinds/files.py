"""The files of runs and logged models: whether there are any, how many, and what changes in a copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import anyio
import msgspec
from anyio import to_thread

from bulkexim.artifacts import mlmodel
from bulkexim.artifacts.copier import CopiedFile, Copier
from bulkexim.artifacts.copying import Rewrite
from bulkexim.artifacts.failing import is_final
from bulkexim.artifacts.place import Place
from bulkexim.artifacts.places import is_lost, needs_owner, new_place, place, proxied_root, serviced, toll
from bulkexim.artifacts.walking import walk
from bulkexim.ends.server import Server
from bulkexim.errors import ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Estimate, Filled, Remark
from bulkexim.kinds.run_values import Run
from bulkexim.kinds.scope import Pair
from bulkexim.left_behind import Cause, LeftBehind


class Root(NamedTuple):
    """The artifact root of one object: its URI, and which object owns it; ``gone`` says that this one is deleted."""

    location: str
    run_id: str | None = None
    model_id: str | None = None
    gone: bool = False

    @property
    def owner(self) -> tuple[str, str]:
        """The kind of the object that owns it, and its id."""
        return ("run", self.run_id or "") if self.model_id is None else ("logged_model", self.model_id)

    def at(self, server: Server) -> Place:
        """Return the way to reach it through its server."""
        return place(server, self.location, run_id=self.run_id, model_id=self.model_id)


class _Folders(NamedTuple):
    """What stood beside the folders of runs when the runs of a page were known (``None``: nobody may know)."""

    page: int
    names: frozenset[str] | None


class RunFolders:
    """Knows which runs have a folder at the artifact service, from one listing for each experiment and page of runs.

    That a run has none counts only where the folders were listed after the run was: one that ended by then has no files
    that come later.
    """

    def __init__(self, source: Server) -> None:
        self._source = source
        self._pages = 0
        self._listed: dict[str, _Folders] = {}
        self._requests = 0
        self._lock = anyio.Lock()

    @property
    def requests(self) -> int:
        """How many requests it took so far."""
        return self._requests if self._source.folder is None else 0

    def page(self, runs: Sequence[Run]) -> list[Run]:
        """Return runs that were listed just now, so that they are known as such."""
        self._pages += 1
        return [msgspec.structs.replace(run, page=self._pages) for run in runs]

    async def may_have_artifacts(self, run: Run) -> bool:
        """Return whether a run needs a listing of its own."""
        root, end = proxied_root(run.info.artifact_uri), f"/{run.info.run_id}/artifacts"
        if root is None or not root.endswith(end):
            return True
        parent = root.removesuffix(end)
        async with self._lock:
            known = self._listed.get(parent)
            if known is None or (not self._holds(known, run) and known.page < run.page):
                known = self._listed[parent] = await self._list(parent, run.page)
        return self._holds(known, run)

    @staticmethod
    def _holds(folders: _Folders, run: Run) -> bool:
        return folders.names is None or run.info.run_id in folders.names

    async def _list(self, parent: str, page: int) -> _Folders:
        self._requests += 1
        try:
            entries = await serviced(self._source, parent).entries("")
        except ObjectError as error:
            if not is_final(error):
                raise
            return _Folders(page, None)  # It is another matter whether the runs themselves can be read.
        return _Folders(page, frozenset(entry.path for entry in entries))


async def copy_files(
    pair: Pair, copier: Copier, source: Root, destination: Root, ids: Mapping[SourceId, str]
) -> Filled:
    """Copy everything below a root, and note it; ``MLmodel`` files get the ids and root of the destination."""
    new_ids = {str(old): new for old, new in ids.items()}
    new_roots = {source.location: destination.location}
    kind, src_id = source.owner
    if source.gone and kind == "logged_model" and needs_owner(pair.source, source.location):
        why = f"the source gives no file of a deleted logged model that it keeps in {source.location}"
        return Filled(left=(LeftBehind(Cause.FILE_UNREADABLE, f"every file: {why}"),))

    def rewrite(path: str) -> Rewrite | None:
        if path.rpartition("/")[2] != mlmodel.NAME:
            return None
        return lambda content: mlmodel.rewritten(content, new_ids, new_roots)

    anew = True

    async def keep(files: Sequence[CopiedFile]) -> None:
        nonlocal anew
        first, anew = anew, False
        await pair.ledger.copied(kind, SourceId(src_id), ((path, *stored) for path, stored in files), anew=first)

    tell = partial(copier.tell, kind, src_id)
    copied = await copier.copy(source.at(pair.source), destination.at(pair.destination), rewrite, keep, tell)
    if anew:
        await keep(())
    found_none = not copied.files and not copied.left
    lost = found_none and await to_thread.run_sync(is_lost, pair.source, source.location)
    remark = Remark("artifact root does not exist", f"{source.location}: nor do the folders above it, on this machine")
    return Filled(copied.bytes, (remark,) if lost else (), left=tuple(copied.left))


async def count_files(pair: Pair, root: Root) -> Estimate:
    """Return what copying everything below a root would take."""
    sizes: list[int] = []
    folders, staying = {""}, list[LeftBehind]()
    there = new_place(pair.destination, of_model=root.model_id is not None)
    async for entry in walk(root.at(pair.source)):
        if (left := entry.left or there.declined(entry.path, entry.size)) is not None:
            staying.append(left)
            continue
        sizes.append(entry.size)
        folders |= set(_folders(entry.path))
    src, dst = (toll(server, root.location) for server in (pair.source, pair.destination))
    read = len(folders) * src.listing + len(sizes) * src.reading
    return Estimate(read, sum(map(dst.writing, sizes)), len(sizes), sum(sizes), tuple(staying))


def _folders(path: str) -> Iterable[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))
