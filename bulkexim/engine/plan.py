"""What a migration would do: the dry run. It reads both ends and writes nothing anywhere.

The plan goes through the same passes as the migration, over a copy of the ledger in memory, and pretends that every
object it meets was created.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bulkexim.config import Endpoint, Settings
from bulkexim.ends.server import Server
from bulkexim.engine.binding import bind
from bulkexim.engine.events import (
    Activity,
    Events,
    Finished,
    Found,
    Listener,
    Outcome,
    PhaseEnded,
    PhaseSized,
    PhaseStarted,
    StaysBehind,
)
from bulkexim.engine.foreseen import Obstacle, knowing_its_roots, obstacles
from bulkexim.engine.gone import bring_back
from bulkexim.engine.migration import copier, ends, requests_since, sent_so_far, stopped
from bulkexim.engine.outcomes import EarlierFailed
from bulkexim.engine.recovery import recover
from bulkexim.engine.report import (
    HELD,
    INCOMPLETE,
    Behind,
    BehindForCause,
    Failure,
    Remarked,
    Remarks,
    UnsupportedKind,
    not_accepted,
)
from bulkexim.engine.trying_again import incomplete
from bulkexim.engine.waiting import Waiting
from bulkexim.errors import CallError, ObjectError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.base import Draft, Estimate, Kind
from bulkexim.kinds.order import passes, resolve
from bulkexim.kinds.safeguards import safeguards, shows_nothing
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.unaccounted import unaccounted
from bulkexim.kinds.unread import unread
from bulkexim.kinds.unsupported import UnsupportedKinds
from bulkexim.ledger.opening import rehearsal
from bulkexim.ledger.schema import Row, State
from bulkexim.left_behind import Cause, accepts

#: Stands for an id that the destination would give.
PRETENDED = DestinationId("new")


class PlannedKind(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one kind: numbers of objects, of requests at either end, of files and their bytes."""

    kind: str
    found: int = 0
    already: int = 0
    to_move: int = 0
    src_requests: int = 0
    dst_requests: int = 0
    files: int = 0
    bytes: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a migration would do; the requests include those that no kind asks for.

    ``left_behind`` is what the listings show of it: what an end does not give or take shows when files are copied.
    ``obstacles`` would end the migration, or keep files back; ``failures`` are the first of the objects that could not
    be created, or follow one of those, and their number is ``failing``. ``exit_code`` is what the command ends with.
    """

    kinds: tuple[PlannedKind, ...]
    uncarried: tuple[UnsupportedKind, ...]
    left_behind: tuple[BehindForCause, ...]
    remarks: tuple[Remarked, ...]
    warnings: tuple[str, ...]
    src_requests: int
    dst_requests: int
    obstacles: tuple[Obstacle, ...] = ()
    failures: tuple[Failure, ...] = ()
    failing: int = 0

    @property
    def not_accepted(self) -> tuple[str, ...]:
        """The words for ``--accept`` that would cover everything that would stay behind and is not accepted yet."""
        return not_accepted(self.left_behind, self.uncarried)

    @property
    def exit_code(self) -> int:
        """That with which the migration would end, as far as that can be known."""
        if ending := [obstacle.exit_code for obstacle in self.obstacles if obstacle.ends]:
            return ending[0]
        if self.failing or self.not_accepted:
            return INCOMPLETE
        return max((obstacle.exit_code for obstacle in self.obstacles), default=0)


@dataclass(slots=True)
class _Sum:
    """The estimate of one kind while it grows."""

    found: int = 0
    already: int = 0
    failing: int = 0
    #: Requests that one listing of the source takes.
    listings: int = 0
    estimate: Estimate = field(default_factory=Estimate)


async def plan(
    source: Endpoint | str,
    destination: Endpoint | str,
    settings: Settings | None = None,
    *,
    listeners: Sequence[Listener] = (),
) -> Plan:
    """Say what `bulkexim.migrate` would do with the same arguments.

    :raises BulkeximError: the migration could not even begin
    """
    settings = settings or Settings()
    async with ends(source, destination, settings, listeners) as (src, dst):
        return await plan_between(src, dst, settings, listeners)


async def plan_between(src: Server, dst: Server, settings: Settings, listeners: Sequence[Listener] = ()) -> Plan:
    """Say what a migration between two servers that are open already would do; see `plan`."""
    async with rehearsal(settings.work_dir, empty=settings.rebuild_ledger) as ledger:
        try:
            warnings = await bind(ledger, src, dst)
            known = await knowing_its_roots(dst) if settings.artifacts else dst
            return await _Planning(Pair(src, known, ledger, settings), warnings, Events(*listeners)).run()
        except CallError as error:
            raise stopped(error) from error


class _Planning:
    def __init__(self, pair: Pair, warnings: Sequence[str], events: Events) -> None:
        self._pair = pair
        self._warnings = warnings
        self._events = events
        self._sums: dict[str, _Sum] = {}
        self._remarks = Remarks()
        self._behind = Behind(pair.settings.accept)
        self._failures: list[Failure] = []
        #: Lanes in which nothing can follow any more, by their kind and key.
        self._stopped: dict[tuple[str, str], ObjectError] = {}
        #: Requests to either end that only the plan sends: a migration finds the same things out while it works.
        self._extra: Counter[str] = Counter()
        self._before = sent_so_far(*pair.servers)

    async def run(self) -> Plan:
        pair = self._pair
        self._events.emit(Activity("reading what is selected"))
        scope = await resolve(pair)
        resolving = _sent(pair.source) - self._before["source"]
        safe, gone = await safeguards(pair, scope), await bring_back(pair, scope)
        warnings = (*self._warnings, *scope.warnings, *safe, *gone)
        way = copier(pair.source, pair.destination, pair.settings)
        async for kinds in passes(pair, way, scope):
            for kind in kinds:
                await recover(kind, pair.ledger)
            for kind in kinds:
                await self._kind(kind)
            self._events.emit(Activity("looking for what is needed besides"))
        warnings += shows_nothing(pair, scope, {name: total.found for name, total in self._sums.items()})
        self._events.emit(Activity("counting what stays at the source"))
        unsupported = UnsupportedKinds(pair.source, pair.settings, scope.selected, scope.registry)
        uncarried = [kind async for kind in self._unsupported(unsupported)]
        for one in unaccounted(pair.source, pair.settings):
            self._behind.add(StaysBehind(one.kind, *one.left, SourceId(one.id), one.where))
        for kind_name, left in unread(pair.source):
            self._behind.add(StaysBehind(kind_name, *left))
        estimates = [total.estimate for total in self._sums.values()]
        whole = self._looking_back(resolving, clear=await pair.ledger.in_thread(pair.ledger.clear))
        for estimate in estimates:
            whole = whole.plus(estimate)
        sent = requests_since(self._before, *pair.servers)
        files = any(estimate.files for estimate in estimates)
        where = pair.settings.work_dir, pair.destination, pair.settings.accept
        met = [one async for one in obstacles(*where, files=files)]
        return Plan(
            kinds=tuple(_planned(kind, total) for kind, total in self._sums.items() if total.found),
            uncarried=tuple(uncarried),
            left_behind=self._behind.by_cause(),
            remarks=self._remarks.sorted(),
            warnings=warnings,
            src_requests=round(whole.src_requests) + sent["source"] - self._extra["source"],
            dst_requests=round(whole.dst_requests) + sent["destination"] - self._extra["destination"],
            obstacles=tuple(met),
            failures=tuple(self._failures),
            failing=sum(total.failing for total in self._sums.values()),
        )

    async def _unsupported(self, kinds: UnsupportedKinds) -> AsyncIterator[UnsupportedKind]:
        async for found in kinds.counted():
            if found.problem:
                detail = f"could not be counted: {found.problem}"
                self._behind.add(StaysBehind(found.kind, Cause.NOT_COUNTED, detail))
            if found.objects:
                accepted = accepts(self._pair.settings.accept, found.kind)
                yield UnsupportedKind(found.kind, found.objects, found.more, accepted)

    def _looking_back(self, resolving: int, *, clear: bool) -> Estimate:
        """Return what the last look takes: both ends are listed again, where something was moved or may be left."""
        listings = [max(1, total.listings) for total in self._sums.values()]
        moving = any(total.found > total.already for total in self._sums.values())
        again = resolving + sum(listings) if moving else 0
        # The destination is listed by markers, and asked what helped to make the objects.
        there = 0 if clear and not moving else sum(listings) + len(listings)
        return Estimate(again, there)

    async def _kind(self, kind: Kind[Any, Any]) -> None:
        started, total = time.monotonic(), self._sums.setdefault(kind.name, _Sum())
        if kind.until is State.SEALED:
            self._events.emit(PhaseStarted(kind.name))
            objects = await kind.total()  # A migration asks for it too, so these requests count.
            if objects is not None:
                self._events.emit(PhaseSized(kind.name, total.found + objects))
        waiting = Waiting()
        async for values in _counting(kind.pages(), self._pair.source, total, again=kind.container):
            waiting.put(await self._page(kind, values, total, final=False))
        settled = waiting.settled - set(await waiting.come(kind.name, self._pair.ledger))
        total.found += len(settled)
        total.already += len(settled)
        if ids := [src_id for src_id in waiting.wanted if src_id not in settled]:
            async for values in kind.again(ids):
                await self._page(kind, values, total, final=True)
        if kind.until is State.SEALED:
            self._events.emit(PhaseEnded(kind.name, time.monotonic() - started))

    async def _page(self, kind: Kind[Any, Any], values: Sequence[Any], total: _Sum, *, final: bool) -> Waiting:
        """Add up what a page of objects takes; return those that wait for an object of a later page."""
        waiting = Waiting()
        listed = await kind.drafts(values, final=final)
        rows = await self._pair.ledger.rows(kind.name, [draft.id for draft in listed])
        await self._pretend(kind, listed)
        if kind.until is not State.SEALED:
            return waiting
        drafts = await kind.drafts(values, final=final)
        for draft, value in zip(drafts, values, strict=True):
            if draft.waits and not final:
                row = rows.get(draft.id)
                sealed = row is not None and row.state is State.SEALED
                without = await kind.drafts([value] if sealed else [], final=True)
                waiting.add(draft.id, draft.waits, settled=any(self._is_there(one, row) for one in without))
        clear = [draft for draft in drafts if draft.id not in waiting.wanted]
        again = await incomplete(self._pair, kind.name, rows)
        missing = [draft for draft in clear if draft.id in again or not self._is_there(draft, rows.get(draft.id))]
        self._events.emit(Found(kind.name, len(clear)))
        total.found += len(clear)
        total.already += len(clear) - len(missing)
        new = [draft for draft in missing if (row := rows.get(draft.id)) is None or not row.dst_id]
        failing = await self._foresee(kind, new)
        total.failing += len(failing)
        await self._estimate(kind, [draft for draft in missing if draft.id not in failing], total)
        for draft in clear:
            self._events.emit(Finished(kind.name, draft.id, draft.name, Outcome.COMPARED))
        return waiting

    def _is_there(self, draft: Draft[Any], row: Row | None) -> bool:
        if row is None or row.error or self._pair.settings.recheck:
            return False
        return row.state is State.SEALED and draft.is_content(row.digest)

    async def _estimate(self, kind: Kind[Any, Any], missing: Sequence[Draft[Any]], total: _Sum) -> None:
        for start in range(0, len(missing), kind.window):
            window = missing[start : start + kind.window]
            before = sent_so_far(*self._pair.servers)
            estimate = await kind.estimate(window)
            total.estimate = total.estimate.plus(estimate._replace(left=()))
            self._extra.update(requests_since(before, *self._pair.servers))
            for draft in window:
                self._remarks.add(kind.name, draft.id, draft.remarks)
            for cause, detail in estimate.left:
                self._behind.add(StaysBehind(kind.name, cause, detail))
            for draft in window:
                for cause, detail in draft.left:
                    self._behind.add(StaysBehind(kind.name, cause, detail, draft.id, draft.name))

    async def _foresee(self, kind: Kind[Any, Any], new: Sequence[Draft[Any]]) -> Collection[SourceId]:
        """Note which objects could not be created, and return them; what needs them finds that they are not there."""
        before = sent_so_far(*self._pair.servers)
        found = self._with_followers(kind, new, await kind.foreseen(new) if new else {})
        self._extra.update(requests_since(before, *self._pair.servers))
        await self._pair.ledger.forgotten(kind.name, *found)
        names = {draft.id: draft.name for draft in new}
        for src_id, error in list(found.items())[: HELD - len(self._failures)]:
            self._failures.append(Failure(kind.name, src_id, names[src_id], error.cause, str(error)))
        return found

    def _with_followers(
        self, kind: Kind[Any, Any], new: Sequence[Draft[Any]], found: Mapping[SourceId, ObjectError]
    ) -> dict[SourceId, ObjectError]:
        """Add to what could not be created what comes after it in its lane."""
        failing: dict[SourceId, ObjectError] = {}
        for draft in new:
            lane = (kind.name, draft.lane or draft.id)
            error = self._stopped.get(lane) or found.get(draft.id)
            if error is not None:
                failing[draft.id] = error
                self._stopped.setdefault(lane, EarlierFailed(draft.name, error))
        return failing

    async def _pretend(self, kind: Kind[Any, Any], drafts: Sequence[Draft[Any]]) -> None:
        # What has an id at the destination keeps it.
        await self._pair.ledger.adopted(
            kind.name, [(draft.id, draft.name, PRETENDED, draft.src_location, "") for draft in drafts]
        )


async def _counting(
    pages: AsyncIterator[Sequence[Any]], source: Server, total: _Sum, *, again: bool
) -> AsyncIterator[Sequence[Any]]:
    """Pass pages on; those of a container are listed a second time when it is closed."""
    before = _sent(source)
    async for page in pages:
        total.listings += _sent(source) - before
        if again:
            total.estimate = total.estimate.plus(Estimate(_sent(source) - before))
        yield page
        before = _sent(source)


def _sent(server: Server) -> int:
    return server.client.traffic.requests


def _planned(kind: str, total: _Sum) -> PlannedKind:
    return PlannedKind(
        kind=kind,
        found=total.found,
        already=total.already,
        to_move=total.found - total.already - total.failing,
        src_requests=round(total.estimate.src_requests),
        dst_requests=round(total.estimate.dst_requests),
        files=total.estimate.files,
        bytes=total.estimate.bytes,
    )
