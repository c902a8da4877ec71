"""What the ledger of an earlier migration noted of the files that it copied; a comparison does without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bulkexim.ends.server import Server
from bulkexim.errors import BulkeximError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.roots import Root, Stored
from bulkexim.ledger.queries import Queries, look
from bulkexim.left_behind import LeftBehind


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
            return (await self.ledger.left_behind(kind, [src_id])).get(src_id, ())
        except BulkeximError:
            return ()


@contextmanager
def recorded(work_dir: Path, source: Server, destination: Server) -> Iterator[Record]:
    """Open the record in a work directory, if there is one of this pair of ends."""
    with ExitStack() as stack:
        ledger = None
        with suppress(BulkeximError):
            ledger = stack.enter_context(closing(look(work_dir)))
        yield Record(ledger if ledger is not None and _is_of(ledger, source, destination) else None)


def _is_of(ledger: Queries, source: Server, destination: Server) -> bool:
    try:
        held = ledger.setup()
    except BulkeximError:
        return False
    return (held.get("source"), held.get("destination")) == (source.identity, destination.identity)
