"""One pass over one kind: list, compare with the ledger, move what is missing or changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from bulkexim.engine.apply import Apply
from bulkexim.engine.events import (
    Events,
    Finished,
    Found,
    Outcome,
    PhaseEnded,
    PhaseSized,
    PhaseStarted,
    StaysBehind,
)
from bulkexim.engine.lanes import Lane, lanes
from bulkexim.errors import CallError, ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Draft, Filled, Kind
from bulkexim.kinds.distinct_ends import check_no_own_copy
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.schema import Row, State
from bulkexim.left_behind import LeftBehind
from bulkexim.tasks import together

AnyDraft = Draft[Any]


class EarlierFailed(ObjectError):
    """An object of the same lane failed before, so this one cannot follow."""

    def __init__(self, name: str, error: ObjectError) -> None:
        super().__init__("an earlier one failed", f"{name} could not be moved, and this one comes after it.")
        self.temporary = error.temporary


@dataclass(slots=True)
class Pass:
    """Moves every selected object of one kind; `run` it once, and `close` a container when its content is there."""

    kind: Kind[Any, Any]
    pair: Pair
    events: Events
    apply: Apply
    #: Objects listed so far by kind, over all passes.
    listed: Counter[str] = field(default_factory=Counter)
    #: Objects that this pass brought or changed.
    moved: int = 0
    _final: bool = False
    _again: bool = False
    _waiting: list[Any] = field(default_factory=list)
    #: Objects on their way: what the ledger knew of them, and their values at the source.
    _open: dict[SourceId, tuple[Row, Any]] = field(default_factory=dict)
    #: Lanes that stopped, with the error that those behind get (``None``: they wait).
    _stopped: dict[str, ObjectError | None] = field(default_factory=dict)

    @property
    def _quiet(self) -> bool:
        return self.kind.until is not State.SEALED

    async def run(self) -> None:
        """List and move; objects that wait for others of the pass are tried again until nothing more comes of it."""
        started = time.monotonic()
        if not self._quiet:
            self.events.emit(PhaseStarted(self.kind.name, self.kind.kept))
        await recover(self.kind, self.pair.ledger)
        async with together() as tasks:
            if not self._quiet:
                tasks.start_soon(self._size)
            await self._round(self.kind.pages())
            tasks.cancel_scope.cancel()
        if not self._quiet:
            await self._sized(self.listed[self.kind.name])
        await self._retry_waiting()
        if not self._quiet:
            self.events.emit(PhaseEnded(self.kind.name, time.monotonic() - started))

    async def _size(self) -> None:
        earlier = self.listed[self.kind.name]
        try:
            total = await self.kind.total()
        except ObjectError:
            return  # It is for the progress only.
        if total is not None:
            await self._sized(earlier + total)

    async def _sized(self, total: int) -> None:
        self.events.emit(PhaseSized(self.kind.name, total))
        await self.pair.ledger.phase(self.kind.name, self.listed[self.kind.name], total)

    async def _round(self, pages: AsyncIterator[Sequence[Any]]) -> None:
        async with _ahead(pages) as ready, lanes(self._move) as open_lanes:
            async for values in ready:
                drafts = await self._select(values)
                for start in range(0, len(drafts), self.kind.window):
                    await open_lanes.submit(drafts[start : start + self.kind.window])

    async def _retry_waiting(self) -> None:
        self._again = True
        while self._waiting:
            values, self._waiting, self._stopped = self._waiting, [], {}
            before = len(values)
            await self._round(_one_page(values))
            if self._final:
                break
            self._final = len(self._waiting) == before
        for draft in await self.kind.drafts(self._waiting, final=True):
            await self._failed(draft, ObjectError("reference open", "What this object refers to never came."))

    async def _select(self, values: Sequence[Any]) -> list[AnyDraft]:
        """Return what is missing or changed; what is there already is only counted."""
        drafts = await self.kind.drafts(values, final=self._final)
        made = ((draft.name, self.kind.made_from(value)) for draft, value in zip(drafts, values, strict=True))
        check_no_own_copy(self.pair, self.kind.name, made)
        # The pages of a source that is written to shift: one may show again what is on its way, which would double it.
        pairs = zip(drafts, values, strict=True)
        new = {draft.id: (draft, value) for draft, value in pairs if draft.id not in self._open}
        rows = await self.pair.ledger.rows(self.kind.name, new)
        if not self._again and not self._quiet:
            await self._count(len(new))
        missing, there = [], []
        for draft, value in new.values():
            row = rows.get(draft.id)
            if row is not None and self._is_there(draft, row):
                there.append((draft, row))
            elif row is not None and row.state is State.SEALED and draft.waits:
                # It was sealed without what it waits for; whether that comes now, the end of the pass will show.
                self._waiting.append(value)
            else:
                missing.append(draft)
                self._open[draft.id] = row or Row(kind=self.kind.name, src_id=draft.id), value
        if not self._quiet and not self.kind.container:
            await self._already(there)
        # An earlier release had another form of digests.
        same = ((draft, row) for draft, row in there if row.digest != draft.digest and draft.is_content(row.digest))
        await self.pair.ledger.renewed(self.kind.name, {draft.id: draft.digest for draft, _ in same})
        await self.pair.ledger.planned(self.kind.name, {draft.id: draft.name for draft in missing})
        return missing

    async def _count(self, objects: int) -> None:
        self.listed[self.kind.name] += objects
        self.events.emit(Found(self.kind.name, objects))
        await self.pair.ledger.phase(self.kind.name, self.listed[self.kind.name], None)

    def _is_there(self, draft: AnyDraft, row: Row) -> bool:
        if self.pair.settings.recheck or draft.growing:
            return False
        if self._quiet:
            return row.dst_id is not None
        return row.state is State.SEALED and draft.is_content(row.digest) and not row.error

    async def _move(self, parts: Sequence[Lane[Any]]) -> None:
        """Move the lanes of one window side by side, with one reading for all of them."""
        reading = _Reading(self.kind, [draft for lane in parts for draft in lane.drafts])
        async with together() as tasks:
            if not self._quiet:
                tasks.start_soon(reading.run)
            for lane in parts:
                tasks.start_soon(self._move_lane, lane, reading)

    async def _move_lane(self, lane: Lane[Any], reading: _Reading) -> None:
        async with lane.turn():
            for draft in lane.drafts:
                if draft.lane in self._stopped:
                    await self._not_reached(draft)
                else:
                    await self._move_one(draft, reading)
                    del self._open[draft.id]

    async def _move_one(self, draft: AnyDraft, reading: _Reading) -> None:
        row, value = self._open[draft.id]

        async def translate() -> AnyDraft:
            return (await self.kind.drafts([value], final=self._final))[0]

        if draft.lane is not None and draft.waits:
            draft = await translate()
            if draft.waits:
                # In a lane, what waits must not even be created, nor anything behind it: numbers come in order.
                self._stopped[draft.lane or ""] = None
                self._waiting.append(value)
                return
        started = time.monotonic()
        try:
            filled = await self.apply(self.kind, draft, row, reading.get, translate)
        except ObjectError as error:
            if draft.lane is not None:
                self._stopped[draft.lane] = EarlierFailed(draft.name, error)
            await self._failed(draft, error)
            return
        if filled is None:
            self._waiting.append(value)
        elif not self.kind.container and not self._quiet:
            unchanged = row.state is State.SEALED and draft.is_content(row.digest) and draft.growing
            await self._moved(draft, Outcome.ALREADY if unchanged else Outcome.MOVED, filled, started)

    async def _not_reached(self, draft: AnyDraft) -> None:
        """Leave an object whose lane stopped: it waits, or fails, as the one before it did."""
        _, value = self._open.pop(draft.id)
        error = self._stopped[draft.lane or ""]
        if error is None:
            self._waiting.append(value)
        else:
            await self._failed(draft, error)

    async def _moved(self, draft: AnyDraft, outcome: Outcome, filled: Filled, started: float) -> None:
        self.moved += outcome is Outcome.MOVED
        self._left_behind(draft, (*draft.left, *filled.left))
        row = (await self.pair.ledger.rows(self.kind.name, [draft.id]))[draft.id]
        self.events.emit(
            Finished(
                kind=self.kind.name,
                id=draft.id,
                name=draft.name,
                outcome=outcome,
                dst_id=row.dst_id,
                attempts=row.attempts,
                seconds=time.monotonic() - started,
                bytes=filled.bytes,
            )
        )

    async def _already(self, there: Sequence[tuple[AnyDraft, Row]]) -> None:
        """Tell objects that are there, and what of them stayed behind when they were moved."""
        left = await self.pair.ledger.left_behind(self.kind.name, [draft.id for draft, _ in there])
        for draft, row in there:
            self._left_behind(draft, left.get(draft.id, ()))
            self.events.emit(Finished(self.kind.name, draft.id, draft.name, Outcome.ALREADY, row.dst_id))

    def _left_behind(self, draft: AnyDraft, left: Iterable[LeftBehind]) -> None:
        for cause, detail in left:
            self.events.emit(StaysBehind(self.kind.name, cause, detail, draft.id, draft.name))

    async def _failed(self, draft: AnyDraft, error: ObjectError) -> None:
        await self.pair.ledger.failed(self.kind.name, draft.id, error.cause, str(error))
        if self._quiet:
            return  # The pass that finishes such objects meets the same trouble and counts it.
        self.events.emit(
            Finished(
                kind=self.kind.name,
                id=draft.id,
                name=draft.name,
                outcome=Outcome.FAILED,
                cause=error.cause,
                error=str(error),
                temporary=error.temporary,
            )
        )

    async def close(self) -> None:
        """Seal a container's objects, now that everything they hold is there."""
        started = time.monotonic()
        async for values in self.kind.pages():
            drafts = await self.kind.drafts(values, final=True)
            rows = await self.pair.ledger.rows(self.kind.name, [draft.id for draft in drafts])
            async with together() as tasks:
                for draft in drafts:
                    row = rows.get(draft.id)
                    if row is not None and row.dst_id is not None and not row.error:
                        tasks.start_soon(self._close_one, draft, row)
        self.events.emit(PhaseEnded(self.kind.name, time.monotonic() - started))

    async def _close_one(self, draft: AnyDraft, row: Row) -> None:
        if row.state is State.SEALED and draft.is_content(row.digest):
            await self._already([(draft, row)])
            return
        started = time.monotonic()
        try:
            filled = await self.apply.seal(self.kind, draft, row, Filled(), started)
        except ObjectError as error:
            await self._failed(draft, error)
        else:
            await self._moved(draft, Outcome.MOVED, filled, started)


async def recover(kind: Kind[Any, Any], ledger: Journal) -> None:
    """Read the markers at the destination, once for a ledger: an earlier one may have been lost."""
    if f"recovered {kind.name}" not in ledger.setup():
        await adopt(kind, ledger)
        await ledger.recovered(kind.name)


async def adopt(kind: Kind[Any, Any], ledger: Journal) -> None:
    """Note what stands at the destination by its markers, where the ledger does not know it."""
    async for found in kind.recover():
        await ledger.adopted(kind.name, [(one.src_id, one.name, one.dst_id, one.location, one.digest) for one in found])


@dataclass(slots=True)
class _Reading:
    """What a window is read for, fetched while its first objects are created."""

    kind: Kind[Any, Any]
    drafts: Sequence[AnyDraft]
    _ready: anyio.Event = field(default_factory=anyio.Event)
    _details: Any = None
    _error: ObjectError | None = None

    async def run(self) -> None:
        try:
            self._details = await self.kind.details(self.drafts)
        except ObjectError as error:
            self._error = error
        self._ready.set()

    async def get(self) -> Any:
        """Return the details once they are read.

        :raises ObjectError: they could not be read
        """
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        return self._details


@asynccontextmanager
async def _ahead(pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[AsyncIterable[Sequence[Any]]]:
    """Give pages, the next being read while the last is worked on.

    A listing that fails ends the pages; the failure is raised when the work on those before it is done. (No generator:
    it would be left open, with its task in it, when the work on a page fails.)
    """
    # Nothing is held between the two: a page that waits here would be one more in memory.
    send, receive = anyio.create_memory_object_stream[Sequence[Any]](0)
    failures: list[CallError] = []

    async def read() -> None:
        async with send:
            try:
                async for page in pages:
                    await send.send(page)
            except CallError as error:
                failures.append(error)
            except anyio.BrokenResourceError:
                pass  # The work on a page failed, and nobody wants the next one.

    async with together() as tasks:
        tasks.start_soon(read)
        async with receive:
            yield receive
    if failures:
        raise failures[0]


async def _one_page(values: Sequence[Any]) -> AsyncIterator[Sequence[Any]]:
    yield values
