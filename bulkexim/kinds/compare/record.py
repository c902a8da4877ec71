"""What the ledger of an earlier migration noted of the files that it copied; a comparison does without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from bulkexim.ends.server import Server
from bulkexim.errors import BulkeximError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.roots import Root, Stored
from bulkexim.ledger.queries import Queries, look
from bulkexim.left_behind import Cause, LeftBehind


@dataclass(frozen=True, slots=True)
class Record:
    """Knows the files of objects as they were last copied; without a ledger it knows of none."""

    ledger: Queries | None = None

    async def files(self, source: Root, destination: Root) -> Mapping[str, Stored]:
        """Return the files that were copied from one root to another, by their paths."""
        if self.ledger is None:
            return {}
        try:
            files = await self.ledger.copied_files(source.kind, SourceId(source.id), DestinationId(destination.id))
        except BulkeximError:
            return {}  # A damaged ledger says nothing; both ends were read all the same.
        return {file.path: Stored(file.size, file.sha256) for file in files}

    async def left_behind(self, kind: str, src_id: SourceId) -> Sequence[LeftBehind]:
        """Return what stayed behind of an object when it was last moved."""
        if self.ledger is None:
            return ()
        try:
            left = (await self.ledger.left_behind(kind, [src_id])).get(src_id, [])
            points = await self.ledger.unmoved_points(src_id) if kind == "logged_model" else []
            return [*left, *(LeftBehind(Cause.VALUE, one.detail) for one in points)]
        except BulkeximError:
            return ()


@asynccontextmanager
async def recorded(work_dir: Path, source: Server, destination: Server) -> AsyncIterator[Record]:
    """Open the record in a work directory, if there is one of this pair of ends."""
    ledger = await to_thread.run_sync(_ledger_of, work_dir, source.identity, destination.identity)
    if ledger is None:
        yield Record()
        return
    with closing(ledger):
        yield Record(ledger)


def _ledger_of(work_dir: Path, source: str, destination: str) -> Queries | None:
    try:
        ledger = look(work_dir)
    except BulkeximError:
        return None
    with suppress(BulkeximError):
        held = ledger.setup()
        if (held.get("source"), held.get("destination")) == (source, destination):
            return ledger
    ledger.close()
    return None
