"""One pass over one kind: list, compare with the ledger, move what is missing or changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bulkexim.engine.apply import Apply
from bulkexim.engine.events import Events, PhaseEnded, PhaseStarted
from bulkexim.engine.outcomes import AnyDraft, Outcomes
from bulkexim.engine.recovery import recover
from bulkexim.engine.rounds import Round
from bulkexim.engine.waiting import Waiting
from bulkexim.errors import ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Filled, Kind
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.schema import Row, State
from bulkexim.tasks import together


@dataclass(slots=True)
class Pass:
    """Moves every selected object of one kind; `run` it once, and `close` it when everything else is there."""

    kind: Kind[Any, Any]
    pair: Pair
    events: Events
    apply: Apply
    #: Objects listed so far by kind, over all passes.
    listed: Counter[str] = field(default_factory=Counter)
    told: Outcomes = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.told = Outcomes(self.kind, self.pair.ledger, self.events, self.listed)

    @property
    def moved(self) -> int:
        """How many objects this pass brought or changed."""
        return self.told.moved

    async def run(self) -> None:
        """List and move; what waits for others of the pass is read again when those have come, or never will."""
        started = time.monotonic()
        if not self.told.quiet:
            self.events.emit(PhaseStarted(self.kind.name, self.kind.kept))
        await recover(self.kind, self.pair.ledger)
        async with together() as tasks:
            if not self.told.quiet:
                tasks.start_soon(self._size)
            waiting = await self._round()
            tasks.cancel_scope.cancel()
        if not self.told.quiet:
            await self.told.sized(self.listed[self.kind.name])
        await self._move_waiting(waiting)
        if not self.told.quiet:
            self.events.emit(PhaseEnded(self.kind.name, time.monotonic() - started))

    async def _size(self) -> None:
        earlier = self.listed[self.kind.name]
        try:
            total = await self.kind.total()
        except ObjectError:
            return  # It is for the progress only.
        if total is not None:
            await self.told.sized(earlier + total)

    async def _round(self, ids: Sequence[SourceId] | None = None, *, final: bool = False) -> Waiting:
        """Move all that is selected, or ``ids``; return what waits for others."""
        one = Round(self.kind, self.pair, self.apply, self.told, ids, final)
        await one.run()
        return one.waiting

    async def _move_waiting(self, waiting: Waiting) -> None:
        """Move what waits: each object when the other has come, or without it when that will never come."""
        in_vain = False
        while waiting:
            ready = [] if in_vain else await waiting.come(self.kind.name, self.pair.ledger)
            if ready:
                taken = waiting.take(ready)
                still = await self._round(ready)
                in_vain = still.wanted == taken.wanted
                waiting.put(still)
            else:
                await self._move_without(waiting.take(waiting.hopeless()))
                in_vain = False

    async def _move_without(self, taken: Waiting) -> None:
        rows = await self.pair.ledger.rows(self.kind.name, taken.settled)
        await self.told.there(list(rows.values()))
        still = await self._round([src_id for src_id in taken.wanted if src_id not in taken.settled], final=True)
        never = ObjectError("reference open", "What this object refers to never came.")
        await self.told.all_failed(list(still.wanted), never)

    async def close(self) -> None:
        """Seal containers, now that everything they hold is there, and what is sealed last."""
        last = list(self.told.filled)
        if not (self.kind.container or last):
            return
        started = time.monotonic()
        async for values in self.kind.pages() if self.kind.container else self.kind.again(last):
            drafts = await self.kind.drafts(values, final=True)
            rows = await self.pair.ledger.rows(self.kind.name, [draft.id for draft in drafts])
            async with together() as tasks:
                for draft in drafts:
                    row = rows.get(draft.id)
                    if row is not None and row.dst_id is not None and not row.error:
                        tasks.start_soon(self._close_one, draft, row)
        if not self.kind.container:
            gone = ObjectError("gone at the source", "It was removed from the source before it was complete here.")
            await self.told.all_failed(list(self.told.filled), gone)
        self.events.emit(PhaseEnded(self.kind.name, time.monotonic() - started))

    async def _close_one(self, draft: AnyDraft, row: Row) -> None:
        if row.state is State.SEALED and draft.is_content(row.digest):
            await self.told.there([row], {draft.id: draft.name})
            return
        started = time.monotonic()
        filled, changed = self.told.filled.pop(draft.id, (Filled(), True))
        try:
            await self.apply.seal(self.kind, draft, row, filled, started)
        except ObjectError as error:
            await self.told.failed(draft.id, draft.name, error)
        else:
            await self.told.arrived(draft, filled, started, changed=changed)
