"""One round of a pass: objects are listed, compared with the ledger, and moved when their turn comes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bulkexim.engine.apply import Apply
from bulkexim.engine.lanes import Job, Room, lanes
from bulkexim.engine.outcomes import AnyDraft, EarlierFailed, Outcomes
from bulkexim.engine.reading import Reading, ahead
from bulkexim.engine.trying_again import incomplete
from bulkexim.engine.waiting import Waiting
from bulkexim.errors import ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Kind
from bulkexim.kinds.distinct_ends import check_no_own_copy
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.schema import Row, State
from bulkexim.tasks import together

#: What keeps an object from being moved, and those behind it in its lane: it failed, or it waits for another one.
Obstacle = ObjectError | SourceId
#: The translation of an object, and its value at the source.
Translated = tuple[AnyDraft, Any]


class Gone(ObjectError):
    """An object was listed, and was not there any more when its turn came: the next run does not meet it."""

    temporary = True

    def __init__(self) -> None:
        super().__init__("gone at the source", "It was removed from the source before it could be moved.")


@dataclass(slots=True)
class Round:
    """Moves the objects ``ids``, or all that are selected; at the end ``waiting`` are those that could not come yet.

    When ``final``, what an object waits for will never come.
    """

    kind: Kind[Any, Any]
    pair: Pair
    apply: Apply
    told: Outcomes
    ids: Sequence[SourceId] | None = None
    final: bool = False
    waiting: Waiting = field(default_factory=Waiting)
    _on_the_way: set[SourceId] = field(default_factory=set)
    _stopped: dict[str, Obstacle] = field(default_factory=dict)
    #: Objects that are there but for files or values which may arrive by now, with the number of what stayed behind.
    _partly: dict[SourceId, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Move them, as far as they can come."""
        pages = self._sized(self.kind.pages()) if self.ids is None else self.kind.again(self.ids)
        unseen = dict.fromkeys(self.ids or ())
        room = Room.for_requests(self.pair.destination.client.limiter.ceiling)
        async with ahead(pages) as ready, lanes(self, room) as open_lanes:
            async for values in ready:
                pairs = await self._translated(values)
                if self.ids is not None:
                    pairs = _first(pairs, unseen)
                await open_lanes.submit(await self._select(pairs), self.kind.window)
        await self.told.all_failed(list(unseen), Gone())

    async def _translated(self, values: Sequence[Any]) -> list[Translated]:
        return list(zip(await self.kind.drafts(values, final=self.final), values, strict=True))

    async def _sized(self, pages: AsyncIterator[Sequence[Any]]) -> AsyncIterator[Sequence[Any]]:
        """Pass pages on; when all are listed, tell how many objects there are, though most are not moved yet."""
        objects = self.told.listed[self.kind.name]
        async for page in pages:
            objects += len(page)
            yield page
        await self.told.sized(objects)

    async def _select(self, pairs: Sequence[Translated]) -> list[Job]:
        """Return what is missing or changed; what is there already is only counted."""
        made = ((draft.name, self.kind.made_from(value)) for draft, value in pairs)
        check_no_own_copy(self.pair, self.kind.name, made)
        # The pages of a source that is written to shift: one may show again what is on its way, which would double it.
        new = {draft.id: (draft, value) for draft, value in pairs if draft.id not in self._on_the_way}
        rows = await self.pair.ledger.rows(self.kind.name, new)
        if self.ids is None:
            await self.told.found(len(new))
        self._partly |= {} if self.told.quiet else await incomplete(self.pair, self.kind.name, new)
        there: list[Job] = []
        sealed: list[Job] = []
        missing: list[Job] = []
        for draft, value in new.values():
            job = Job(draft, rows.get(draft.id) or Row(kind=self.kind.name, src_id=draft.id), value)
            if self._is_there(draft, job.row):
                there.append(job)
            elif job.row.state is State.SEALED and draft.waits:
                sealed.append(job)
            else:
                missing.append(job)
        if not self.kind.container:
            await self.told.there([job.row for job in there], {job.draft.id: job.draft.name for job in there})
        await self._renew((job.draft, job.row) for job in there)
        await self._keep_waiting(sealed)
        await self.pair.ledger.planned(self.kind.name, {job.draft.id: job.draft.name for job in missing})
        self._on_the_way |= {job.draft.id for job in missing}
        return [job for job in missing if not self._must_wait(job.draft)]

    def _is_there(self, draft: AnyDraft, row: Row) -> bool:
        if self.pair.settings.recheck or draft.growing:
            return False
        if self.told.quiet:
            return row.dst_id is not None
        return (
            row.state is State.SEALED
            and draft.is_content(row.digest)
            and not row.error
            and draft.id not in self._partly
        )

    async def _renew(self, there: Iterable[tuple[AnyDraft, Row]]) -> None:
        """Note the digests of objects that are there, where an earlier release had another form of digests."""
        same = ((draft, row) for draft, row in there if row.digest != draft.digest and draft.is_content(row.digest))
        await self.pair.ledger.renewed(self.kind.name, {draft.id: draft.digest for draft, _ in same})

    async def _keep_waiting(self, jobs: Sequence[Job]) -> None:
        """Keep objects that were sealed without what they wait for: the end of the pass shows whether that comes."""
        if not jobs:
            return
        without = await self.kind.drafts([job.value for job in jobs], final=True)
        for job, draft in zip(jobs, without, strict=True):
            self._wait(job.draft, settled=self._is_there(draft, job.row))
        await self._renew((draft, job.row) for job, draft in zip(jobs, without, strict=True))

    def _must_wait(self, draft: AnyDraft) -> bool:
        """Return whether an object waits for one that will not come while it is on its way itself.

        In a lane this shows when its turn comes.
        """
        if not draft.waits or draft.waits in self._on_the_way or draft.lane is not None or self.told.quiet:
            return False
        self._on_the_way.discard(draft.id)
        self._wait(draft)
        return True

    def _wait(self, draft: AnyDraft, *, settled: bool = False) -> None:
        if draft.waits:
            self.waiting.add(draft.id, draft.waits, settled=settled)

    async def window(self, jobs: Sequence[Job]) -> None:
        """Move objects side by side, with one reading for all of them."""
        reading = Reading(self.kind, [job.draft for job in jobs])
        async with together() as tasks:
            if not self.told.quiet:
                tasks.start_soon(reading.run)
            for job in jobs:
                tasks.start_soon(self._move, job, reading.get)

    async def one(self, job: Job) -> None:
        """Move an object of a lane, unless its lane stopped."""
        draft, lane = job.draft, job.draft.lane or ""
        if lane in self._stopped:
            await self._stop([draft.id], self._stopped[lane])
            return
        if draft.waits:
            [draft] = await self.kind.drafts([job.value], final=self.final)
        if draft.waits:
            # In a lane, what waits must not even be created, nor anything behind it: numbers come in order.
            self._stopped[lane] = draft.waits
            await self._stop([draft.id], draft.waits)
            return

        async def read() -> Any:
            return await self.kind.details([draft])

        obstacle = await self._move(job._replace(draft=draft), read)
        if obstacle is not None:
            self._stopped[lane] = EarlierFailed(draft.name, obstacle) if isinstance(obstacle, ObjectError) else obstacle

    async def again(self, lane: str, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Job]]:
        """Read objects of a lane again; where it stopped, they need not be read."""
        left = dict.fromkeys(ids)
        try:
            if lane not in self._stopped:
                async for values in self.kind.again(ids):
                    pairs = _first(await self._translated(values), left)
                    rows = await self.pair.ledger.rows(self.kind.name, [draft.id for draft, _ in pairs])
                    yield [Job(draft, rows[draft.id], value) for draft, value in pairs]
                    if lane in self._stopped:
                        break
        except ObjectError as error:
            self._stopped[lane] = error
        await self._stop(list(left), self._stopped.get(lane, Gone()))

    async def _stop(self, ids: Sequence[SourceId], obstacle: Obstacle) -> None:
        """Leave objects of a lane that stopped: they wait, or fail, as the one before them did."""
        self._on_the_way.difference_update(ids)
        if isinstance(obstacle, ObjectError):
            await self.told.all_failed(ids, obstacle)
        else:
            for src_id in ids:
                self.waiting.add(src_id, obstacle)

    async def _move(self, job: Job, read: Callable[[], Awaitable[Any]]) -> Obstacle | None:
        """Move an object; return what kept it from coming."""
        draft, row, value = job

        async def translate() -> AnyDraft:
            return (await self.kind.drafts([value], final=self.final))[0]

        started = time.monotonic()
        try:
            filled = await self.apply(self.kind, draft, row, read, translate)
        except ObjectError as error:
            self._on_the_way.discard(draft.id)
            await self.told.failed(draft.id, draft.name, error)
            return error
        self._on_the_way.discard(draft.id)
        if filled is None:
            self._wait(draft)
            return draft.waits
        before = self._partly.pop(draft.id, None)
        nothing_came = draft.growing or (before is not None and len(draft.left) + len(filled.left) >= before)
        unchanged = row.state is State.SEALED and draft.is_content(row.digest) and nothing_came
        if self.kind.container or draft.last:
            self.told.filled[draft.id] = filled, not unchanged
        else:
            await self.told.arrived(draft, filled, started, changed=not unchanged)
        return None


def _first(pairs: Sequence[Translated], left: dict[SourceId, None]) -> list[Translated]:
    """Take from ``left`` what has come, and return that: pages that shift may bring an object twice."""
    first = []
    for draft, value in pairs:
        if draft.id in left:
            del left[draft.id]
            first.append((draft, value))
    return first
