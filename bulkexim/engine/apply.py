"""Brings one object to the destination: intent, create, settle, commit, fill, seal. Nothing else creates anything.

Each state is durable in the ledger before the next step, so a process that dies at any moment leaves an object of which
the next one knows what is certain and what is not.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import anyio
import msgspec

from bulkexim.engine.events import Events, Stepped
from bulkexim.errors import CallError, ObjectError, Refused, Unsure
from bulkexim.ids import SourceId, marker
from bulkexim.kinds.base import Draft, Filled, Kind, Placed
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.schema import Row, State

CREATE_TRIES = 6
#: Objects of which it is remembered that nothing but the create call touched them (about 200 bytes each). One that is
#: forgotten is read before it is written.
BORN = 50_000
#: Creates of one object after which a server that fails on each of them, and makes nothing, is taken at its word.
FAULTS = 2

Reading = Callable[[], Awaitable[Any]]
Translation = Callable[[], Awaitable[Draft[Any]]]


@dataclass(slots=True)
class Apply:
    """The protocol of one object; ``sleep`` is given by tests."""

    pair: Pair
    events: Events
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    #: Created whole by this process and not filled yet, the oldest first: only the create call has touched them.
    born: dict[tuple[str, SourceId], None] = field(default_factory=dict)

    async def __call__(
        self, kind: Kind[Any, Any], draft: Draft[Any], row: Row, read: Reading, translate: Translation
    ) -> Filled | None:
        """Move one object as far as it can come; return ``None`` while it waits for another one.

        ``read`` brings what its window was read for; ``translate`` translates the object anew, for what it waited for
        may have come while it was created.

        :raises ObjectError: the object cannot be moved, or not now
        """
        started = time.monotonic()
        if row.dst_id is None:
            row = await self._created(kind, draft, row)
        if kind.until is State.CREATED:
            return Filled()
        if draft.waits:
            draft = await translate()
            if draft.waits:
                return None
        if row.state is State.SEALED:
            await self.pair.ledger.unsealed(kind.name, draft.id)
        fresh = (kind.name, draft.id) in self.born
        details = await read()
        self.born.pop((kind.name, draft.id), None)
        filled = await kind.fill(draft, row, details, fresh=fresh)
        await self.pair.ledger.filled(kind.name, draft.id, filled.bytes)
        self._step(kind, draft, State.FILLED, row)
        if kind.container or draft.last:
            return filled
        return await self.seal(kind, draft, row, filled, started)

    async def seal(self, kind: Kind[Any, Any], draft: Draft[Any], row: Row, filled: Filled, started: float) -> Filled:
        """Complete an object; ``started`` is when work on it began, on the monotonic clock."""
        await kind.seal(draft, row)
        await self.pair.ledger.sealed(
            kind.name,
            draft.id,
            draft.digest,
            written=draft.written,
            moved=filled.bytes,
            seconds=time.monotonic() - started,
            notes=(*draft.remarks, *filled.remarks),
            left=(*draft.left, *filled.left),
        )
        self._step(kind, draft, State.SEALED, row)
        return filled

    async def _created(self, kind: Kind[Any, Any], draft: Draft[Any], row: Row) -> Row:
        placed = await self._place(kind, draft, row)
        row = msgspec.structs.replace(row, state=State.CREATED, dst_id=placed.id, dst_location=placed.location)
        self._step(kind, draft, State.CREATED, row)
        return row

    async def _place(self, kind: Kind[Any, Any], draft: Draft[Any], row: Row) -> Placed:
        mark = marker(self.pair.source.identity, kind.name, draft.id)
        if row.state is State.INTENT:
            placed = await self._settled(kind, draft, mark, row.intent_at)
            if placed is not None:
                return placed
        faults, last = 0, Unsure("")
        for _ in range(CREATE_TRIES):
            self._step(kind, draft, State.INTENT, row)
            try:
                return await self._create(kind, draft, mark)
            except Unsure as error:
                placed = await self._settled(kind, draft, mark, time.time())
                if placed is not None:
                    return placed
                faults, last = faults + (error.status == HTTPStatus.INTERNAL_SERVER_ERROR), error
                if faults >= FAULTS:
                    await self.pair.ledger.withdrawn(kind.name, draft.id)
                    raise Refused(error.problem, cause=error.cause, status=error.status, remedy=error.remedy) from error
            except ObjectError as error:
                if not isinstance(error, CallError) or error.definite:
                    await self.pair.ledger.withdrawn(kind.name, draft.id)
                raise
        problem = f"The destination lost the create call every time: {last.problem}"
        raise Unsure(problem, cause="create lost", remedy=last.remedy)

    async def _create(self, kind: Kind[Any, Any], draft: Draft[Any], mark: str) -> Placed:
        await self.pair.ledger.intent(kind.name, draft.id, draft.src_location)
        try:
            placed = await kind.create(draft, mark)
        except anyio.get_cancelled_exc_class():
            # Each request that had left was waited for, so it is certain that none of them is under way.
            with anyio.CancelScope(shield=True):
                await self.pair.ledger.withdrawn(kind.name, draft.id)
            raise
        with anyio.CancelScope(shield=True):
            await self.pair.ledger.created(kind.name, draft.id, placed.id, placed.location)
        if placed.whole:
            if len(self.born) >= BORN:
                del self.born[next(iter(self.born))]
            self.born[kind.name, draft.id] = None
        return placed

    async def _settled(self, kind: Kind[Any, Any], draft: Draft[Any], mark: str, sent_at: float) -> Placed | None:
        """Find out whether a create was carried out: found, or absent twice with the settling time between.

        :raises Unsure: the destination could not be asked, so the create must not be repeated
        """
        try:
            placed = await kind.find(draft, mark)
            if placed is None:
                await self.sleep(max(0.0, sent_at + self.pair.settings.settle_seconds - time.time()))
                placed = await kind.find(draft, mark)
        except CallError as error:
            problem = f"It is not known whether this was created: {error.problem}"
            raise Unsure(problem, cause="unsure", remedy=error.remedy) from error
        if placed is not None:
            await self.pair.ledger.created(kind.name, draft.id, placed.id, placed.location)
        return placed

    def _step(self, kind: Kind[Any, Any], draft: Draft[Any], state: State, row: Row) -> None:
        self.events.emit(Stepped(kind.name, draft.id, draft.name, state, row.dst_id))
