"""The comparison of both ends, object by object: reads them afresh and writes nothing.

It goes through the same passes as a migration, over an empty ledger in which only the markers at the destination are
noted, so that a translation means what stands there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bulkexim.config import Endpoint, Level, Settings
from bulkexim.ends.server import Server
from bulkexim.engine.events import Events, Finished, Found, Listener, Outcome, PhaseEnded, PhaseStarted, Warned
from bulkexim.engine.migration import copier, ends, requests_since, sent_so_far
from bulkexim.engine.pairing import AnyComparison, Pairing
from bulkexim.engine.verification import Finding, FindingListener, Tally, Verdict, Verification
from bulkexim.errors import ObjectError
from bulkexim.kinds.base import Kind
from bulkexim.kinds.compare.base import Paired, Sides
from bulkexim.kinds.compare.difference import Difference, differences
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.order import comparison
from bulkexim.kinds.compare.record import recorded
from bulkexim.kinds.logged_model import LoggedModelKind
from bulkexim.kinds.order import passes, resolve
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.journal import blank
from bulkexim.ledger.schema import State
from bulkexim.tasks import together

#: Differences that are told of one object; the rest is counted.
NAMED = 100


async def verify(
    source: Endpoint | str,
    destination: Endpoint | str,
    settings: Settings | None = None,
    level: Level = Level.CONTENT,
    *,
    listeners: Sequence[Listener] = (),
    findings: Sequence[FindingListener] = (),
) -> Verification:
    """Compare what ``settings`` select at both ends; ``findings`` get each object that is not the same.

    :raises BulkeximError: the ends could not be compared; the subclass says whether repeating it helps
    """
    settings = settings or Settings()
    async with ends(source, destination, settings) as (src, dst):
        return await verify_between(src, dst, settings, level, listeners=listeners, findings=findings)


async def verify_between(
    src: Server,
    dst: Server,
    settings: Settings,
    level: Level,
    *,
    listeners: Sequence[Listener] = (),
    findings: Sequence[FindingListener] = (),
) -> Verification:
    """Compare two servers that are open already; see `verify`."""
    started, level = time.monotonic(), Level.of(level)
    before = sent_so_far(src, dst)
    tally = Tally(level, *findings)
    async with blank() as ledger:
        await _Verifying(Pair(src, dst, ledger, settings), level, tally, Events(*listeners)).run()
    return tally.verification(seconds=time.monotonic() - started, requests=requests_since(before, src, dst))


class _Verifying:
    def __init__(self, pair: Pair, level: Level, tally: Tally, events: Events) -> None:
        self._pair = pair
        self._level = level
        self._tally = tally
        self._events = events
        self._pairing = Pairing(pair, tally)

    async def run(self) -> None:
        with recorded(self._pair) as record:
            await self._compare(Files(self._pair, self._level, record))

    async def _compare(self, files: Files) -> None:
        pair = self._pair
        scope = await resolve(pair)
        for warning in scope.warnings:
            self._events.emit(Warned(warning))
        way = copier(pair.source, pair.destination, pair.settings)
        async for kinds in passes(pair, way, scope, self._pairing.met):
            # A pass that only prepares the next one brings nothing of its own.
            comparisons = [comparison(pair, kind, files, scope) for kind in kinds if kind.until is State.SEALED]
            for one in comparisons:
                await self._pairing.pair_up(one)
            if LoggedModelKind.name in pair.settings.without and pair.destination.capabilities.logged_models:
                # An earlier migration may have brought them, and then runs and versions point to them.
                left_out = LoggedModelKind(pair, way, scope.selected)
                await self._pairing.note(comparison(pair, left_out, files, scope))
            for one in comparisons:
                await self._kind(one)
        await self._pairing.left_over()

    async def _kind(self, one: AnyComparison) -> None:
        started, kind = time.monotonic(), one.kind
        self._tally.kind(kind.name)
        self._events.emit(PhaseStarted(kind.name))
        async for values in kind.pages():
            drafts = await kind.drafts(values, final=True)
            self._events.emit(Found(kind.name, len(drafts)))
            pairs, missing = await self._pairing.split(kind.name, drafts)
            for draft in missing:
                self._found(Finding(kind=kind.name, verdict=Verdict.MISSING, name=draft.name, id=draft.id))
            for start in range(0, len(pairs), kind.window):
                await self._window(one, pairs[start : start + kind.window])
        self._events.emit(PhaseEnded(kind.name, time.monotonic() - started))

    async def _window(self, one: AnyComparison, pairs: Sequence[Paired]) -> None:
        if self._level is Level.COUNTS:
            for paired in pairs:
                self._found(_compared(one.kind, paired, _in_the_bin(one, paired)))
            return
        try:
            read = await one.read(pairs)
        except ObjectError as error:
            for paired in pairs:
                self._found(_not_comparable(one.kind, paired, error))
            return
        async with together() as tasks:
            for paired in pairs:
                tasks.start_soon(self._pair_of, one, paired, read)

    async def _pair_of(self, one: AnyComparison, paired: Paired, read: Any) -> None:
        try:
            sides = await one.sides(paired, read)
        except ObjectError as error:
            self._found(_not_comparable(one.kind, paired, error))
            return
        for remark in (*paired.draft.remarks, *(sides.remarks if sides else ())):
            self._tally.remark(one.kind.name, paired.draft.id, *remark)
        self._found(_verdict(one.kind, paired, sides))

    def _found(self, finding: Finding) -> None:
        self._tally.found(finding)
        if finding.id is not None:
            self._events.emit(Finished(finding.kind, finding.id, finding.name, Outcome.COMPARED, finding.dst_id))


def _compared(kind: Kind[Any, Any], paired: Paired, named: Sequence[Difference] = ()) -> Finding:
    return Finding(
        kind=kind.name,
        verdict=Verdict.DIFFERS if named else Verdict.SAME,
        name=paired.draft.name,
        id=paired.draft.id,
        dst_id=paired.dst_id,
        differences=tuple(named[:NAMED]),
        detail=f"and {len(named) - NAMED:,} more fields" if len(named) > NAMED else "",
    )


def _in_the_bin(one: AnyComparison, paired: Paired) -> list[Difference]:
    """Return whether one of the two is in the bin and the other is not: there for the listing, and for nobody else."""
    expected, found = ("deleted" if deleted else "active" for deleted in (one.deleted(paired.draft), paired.binned))
    return list(differences({"lifecycle": expected}, {"lifecycle": found}))


def _verdict(kind: Kind[Any, Any], paired: Paired, sides: Sides | None) -> Finding:
    if sides is None:
        # It was listed a moment ago.
        return Finding(kind=kind.name, verdict=Verdict.MISSING, name=paired.draft.name, id=paired.draft.id)
    return _compared(kind, paired, list(differences(sides.expected, sides.found)))


def _not_comparable(kind: Kind[Any, Any], paired: Paired, error: ObjectError) -> Finding:
    return Finding(
        kind=kind.name,
        verdict=Verdict.NOT_COMPARABLE,
        name=paired.draft.name,
        id=paired.draft.id,
        dst_id=paired.dst_id,
        detail=str(error),
        temporary=error.temporary,
    )
