"""Tells what became of the objects of a kind: as events, and failures in the ledger too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bulkexim.engine.events import Events, Finished, Found, Noted, Outcome, PhaseSized, StaysBehind
from bulkexim.errors import ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Draft, Filled, Kind
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.schema import Row, State
from bulkexim.left_behind import LeftBehind

AnyDraft = Draft[Any]


class EarlierFailed(ObjectError):
    """An object of the same lane failed before, so this one cannot follow."""

    def __init__(self, name: str, error: ObjectError) -> None:
        super().__init__("an earlier one failed", f"{name} could not be moved, and this one comes after it.")
        self.temporary = error.temporary


@dataclass(slots=True)
class Outcomes:
    """The outcomes of one pass; one that only prepares the next (`quiet`) tells nothing.

    ``listed`` counts the objects listed so far by kind, over all passes; ``moved`` those that this pass brought or
    changed.
    """

    kind: Kind[Any, Any]
    ledger: Journal
    events: Events
    listed: Counter[str]
    moved: int = 0
    #: What filling brought to containers and to what is sealed last, and whether that is a change, until `Pass.close`.
    filled: dict[SourceId, tuple[Filled, bool]] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        """Whether a later pass tells of the same objects."""
        return self.kind.until is not State.SEALED

    async def found(self, objects: int) -> None:
        """Count objects that were listed."""
        if self.quiet:
            return
        self.listed[self.kind.name] += objects
        self.events.emit(Found(self.kind.name, objects))
        await self.ledger.phase(self.kind.name, self.listed[self.kind.name], None)

    async def sized(self, total: int) -> None:
        """Tell how many objects there are, over all passes so far."""
        if self.quiet:
            return
        self.events.emit(PhaseSized(self.kind.name, total))
        await self.ledger.phase(self.kind.name, self.listed[self.kind.name], total)

    async def arrived(self, draft: AnyDraft, filled: Filled, started: float, *, changed: bool = True) -> None:
        """Tell that an object is complete; ``started`` is when work on it began, on the monotonic clock."""
        if self.quiet:
            return
        self.moved += changed
        self._left_behind(draft.id, draft.name, (*draft.left, *filled.left))
        self._noted(draft.id, (*draft.remarks, *filled.remarks))
        row = (await self.ledger.rows(self.kind.name, [draft.id]))[draft.id]
        self.events.emit(
            Finished(
                kind=self.kind.name,
                id=draft.id,
                name=draft.name,
                outcome=Outcome.MOVED if changed else Outcome.ALREADY,
                dst_id=row.dst_id,
                attempts=row.attempts,
                seconds=time.monotonic() - started,
                bytes=filled.bytes,
            )
        )

    async def there(self, rows: Sequence[Row], names: Mapping[SourceId, str] | None = None) -> None:
        """Tell objects that are there, and what of them stayed behind when they were moved."""
        if self.quiet:
            return
        ids = [row.src_id for row in rows]
        left = await self.ledger.left_behind(self.kind.name, ids)
        notes = await self.ledger.notes(self.kind.name, ids)
        for row in rows:
            name = (names or {}).get(row.src_id, row.name)
            self._left_behind(row.src_id, name, left.get(row.src_id, ()))
            self._noted(row.src_id, notes.get(row.src_id, ()))
            self.events.emit(Finished(self.kind.name, row.src_id, name, Outcome.ALREADY, row.dst_id))

    def _left_behind(self, src_id: SourceId, name: str, left: Iterable[LeftBehind]) -> None:
        for cause, detail in left:
            self.events.emit(StaysBehind(self.kind.name, cause, detail, src_id, name))

    def _noted(self, src_id: SourceId, remarks: Iterable[tuple[str, str]]) -> None:
        if held := tuple(remarks):
            self.events.emit(Noted(self.kind.name, src_id, held))

    async def failed(self, src_id: SourceId, name: str, error: ObjectError) -> None:
        """Tell why an object could not be moved."""
        await self.ledger.failed(self.kind.name, src_id, error.cause, str(error))
        if self.quiet:
            return  # The pass that finishes such objects meets the same trouble and counts it.
        self.events.emit(
            Finished(
                kind=self.kind.name,
                id=src_id,
                name=name,
                outcome=Outcome.FAILED,
                cause=error.cause,
                error=str(error),
                temporary=error.temporary,
            )
        )

    async def all_failed(self, ids: Sequence[SourceId], error: ObjectError) -> None:
        """Tell the same of several objects, by the names that the ledger knows."""
        rows = await self.ledger.rows(self.kind.name, ids)
        for src_id in ids:
            await self.failed(src_id, rows[src_id].name, error)
