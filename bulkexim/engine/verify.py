"""The comparison of both ends, object by object: reads them afresh and writes nothing.

It knows nothing of the mover: what is expected comes from listings, a selection and a translation of its own
(`bulkexim.kinds.compare`), and partners are found by the markers at the destination.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from bulkexim.config import Endpoint, Level, Settings
from bulkexim.ends.server import Server
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
    Warned,
)
from bulkexim.engine.migration import ends, requests_since, sent_so_far
from bulkexim.engine.pairing import AnyComparison, Pairing
from bulkexim.engine.verification import Finding, FindingListener, Tally, Verdict, Verification
from bulkexim.errors import ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.compare.accepting import cause_of, noted_cause
from bulkexim.kinds.compare.base import Compared, Paired, Sides, Subject
from bulkexim.kinds.compare.difference import Difference, NotCompared, differences
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.logged_model import LoggedModelComparison
from bulkexim.kinds.compare.mending import mendable
from bulkexim.kinds.compare.order import needed, registry, tracking
from bulkexim.kinds.compare.record import recorded
from bulkexim.kinds.compare.selection import referenced, select
from bulkexim.kinds.compare.value_files import dropped_values
from bulkexim.kinds.distinct_ends import check_distinct
from bulkexim.kinds.order import resolve
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.unaccounted import hidden, unaccounted
from bulkexim.kinds.unread import unread
from bulkexim.ledger.opening import blank
from bulkexim.left_behind import Cause, LeftBehind, accepts
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
    async with ends(source, destination, settings, listeners) as (src, dst):
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
    await _Verifying(Compared(src, dst, settings), level, tally, Events(*listeners)).run()
    return tally.verification(seconds=time.monotonic() - started, requests=requests_since(before, src, dst))


class _Verifying:
    def __init__(self, ends: Compared, level: Level, tally: Tally, events: Events) -> None:
        self._ends = ends
        self._level = level
        self._tally = tally
        self._events = events
        self._pairing = Pairing(ends, tally)
        self._hidden = hidden(ends.source, ends.settings)
        #: Objects met at the source so far, by kind.
        self._listed: Counter[str] = Counter()

    async def run(self) -> None:
        ends = self._ends
        async with recorded(ends.settings.work_dir, ends.source, ends.destination) as record:
            await self._compare(Files(self._level, ends.settings.artifacts, record))

    async def _compare(self, files: Files) -> None:
        ends = self._ends
        self._events.emit(Activity("reading what is selected"))
        async with blank() as ledger:
            # The words of a selection are judged as a migration judges them; what they select is worked out afresh.
            scope = await resolve(Pair(ends.source, ends.destination, ledger, ends.settings))
        await check_distinct(ends.source, ends.destination, scope.known)
        for warning in scope.warnings:
            self._events.emit(Warned(warning))
        selection = await select(ends.source, ends.settings)
        # Logged models that are left out may have been brought before, and then runs and versions point to them.
        left_out = None if selection.logged_models else LoggedModelComparison(ends, files)
        await self._group(tracking(ends, files, selection), noted=left_out)
        if selection.models is not None:
            found = await referenced(ends.source, selection, self._pairing.met)
            if found.homes:
                await self._group(needed(ends, files, selection, found, self._pairing.met["experiment"]))
            await self._group(registry(ends, files, selection.models))
        await self._pairing.left_over()
        self._unaccounted()
        for kind_name, left in unread(ends.source):
            self._found(Finding(kind=kind_name, verdict=Verdict.NOT_COMPARABLE, name="unknown", detail=left.detail))

    def _unaccounted(self) -> None:
        """Find what MLflow does not show of a local store. It has no id here: moving it again would bring nothing."""
        for one in filter(lambda one: one.whole, unaccounted(self._ends.source, self._ends.settings)):
            if accepts(self._ends.settings.accept, one.cause):
                self._tally.accepted(one.cause)
            else:
                self._found(Finding(kind=one.kind, verdict=Verdict.MISSING, name=one.where, detail=one.left.detail))

    async def _group(self, comparisons: Sequence[AnyComparison], noted: AnyComparison | None = None) -> None:
        for one in comparisons:
            self._events.emit(Activity(f"looking for each {one.name} at the destination"))
            await self._pairing.pair_up(one)
        if noted is not None:
            await self._pairing.note(noted)
        for one in comparisons:
            await self._kind(one)

    async def _kind(self, one: AnyComparison) -> None:
        started = time.monotonic()
        self._tally.kind(one.name)
        self._events.emit(PhaseStarted(one.name))
        self._events.emit(PhaseSized(one.name, self._listed[one.name] + self._pairing.expected(one.name)))
        async for subjects in one.subjects():
            pairs, missing = self._pairing.split(one.name, subjects)
            self._listed[one.name] += len(pairs) + len(missing)
            self._events.emit(Found(one.name, len(pairs) + len(missing)))
            for subject in missing:
                self._found(_missing(one, subject))
            for start in range(0, len(pairs), one.window):
                await self._window(one, pairs[start : start + one.window])
        self._events.emit(PhaseSized(one.name, self._listed[one.name]))
        self._events.emit(PhaseEnded(one.name, time.monotonic() - started))

    async def _window(self, one: AnyComparison, pairs: Sequence[Paired]) -> None:
        if self._level is Level.COUNTS:
            for paired in pairs:
                self._found(_compared(one, paired, _lifecycle(paired)))
            return
        try:
            read = await one.read(pairs)
        except ObjectError as error:
            if len(pairs) == 1:
                self._found(_not_comparable(one, pairs[0], error))
                return
            for paired in pairs:  # One that cannot be read keeps nobody from reading the others.
                await self._window(one, [paired])
            return
        async with together() as tasks:
            for paired in pairs:
                tasks.start_soon(self._pair_of, one, paired, read)

    async def _pair_of(self, one: AnyComparison, paired: Paired, read: Any) -> None:
        try:
            sides = await one.sides(paired, read)
        except ObjectError as error:
            self._found(_not_comparable(one, paired, error))
            return
        if sides is None:
            self._found(_missing(one, paired.subject))  # It was listed a moment ago.
            return
        dropped = await dropped_values(self._ends.source, paired.subject.value)
        named = [*differences(sides.expected, sides.found), *dropped]
        left = await self._left_behind(one, paired, sides) if named else ()
        others = self._not_accepted(one, named, left)
        metrics = any(isinstance(other, Difference) and other.field.startswith("metrics / ") for other in others)
        self._found(_compared(one, paired, others, left, sides.writers if metrics else ()))

    async def _left_behind(self, one: AnyComparison, paired: Paired, sides: Sides) -> Sequence[LeftBehind]:
        """Return what stayed behind of an object: as it was moved, or the runs through which it is written."""
        noted = one.files.record.left_behind
        left = [*await noted(one.name, paired.subject.id)]
        for run_id in sides.writers:
            left += [found for found in await noted("run", run_id) if paired.dst_id in found.detail]
        return left

    def _not_accepted(
        self, one: AnyComparison, named: Sequence[Difference | NotCompared], left: Sequence[LeftBehind]
    ) -> Sequence[Difference | NotCompared]:
        """Return what ``--accept`` does not cover; the rest is only counted."""
        accept = self._ends.settings.accept
        others = []
        for difference in named:
            cause = cause_of(one.name, difference, left) if accept else None
            if cause is not None and accepts(accept, cause):
                self._tally.accepted(cause)
            else:
                others.append(difference)
        return others

    def _with_hidden(self, finding: Finding) -> Finding:
        """Return a finding with what MLflow does not show of its object, unless that is accepted."""
        causes: dict[str, Cause] = {}
        for cause, detail in self._hidden.pop((finding.kind, finding.id or ""), ()):
            if accepts(self._ends.settings.accept, cause):
                self._tally.accepted(cause)
            else:
                causes[detail] = cause
        if not causes:
            return finding
        verdict = Verdict.MISSING if finding.verdict is Verdict.MISSING else Verdict.DIFFERS
        left_behind = finding.left_behind | causes
        return msgspec.structs.replace(finding, verdict=verdict, hidden=tuple(causes), left_behind=left_behind)

    def _found(self, finding: Finding) -> None:
        finding = self._with_hidden(finding)
        self._tally.found(finding)
        if finding.id is not None:
            self._events.emit(Finished(finding.kind, finding.id, finding.name, Outcome.COMPARED, finding.dst_id))


def _compared(
    one: AnyComparison,
    paired: Paired,
    told: Sequence[Difference | NotCompared] = (),
    left: Sequence[LeftBehind] = (),
    writers: tuple[SourceId, ...] = (),
) -> Finding:
    named = [difference for difference in told if isinstance(difference, Difference)]
    unread = tuple(field for field in told if isinstance(field, NotCompared))
    causes = {difference.field: noted_cause(one.name, difference, left) for difference in named[:NAMED]}
    return Finding(
        kind=one.name,
        verdict=Verdict.DIFFERS if named else Verdict.NOT_COMPARABLE if unread else Verdict.SAME,
        name=paired.subject.name,
        id=paired.subject.id,
        dst_id=paired.dst_id,
        differences=tuple(named[:NAMED]),
        detail=f"and {len(named) - NAMED:,} more fields" if len(named) > NAMED else "",
        lasting=tuple(difference.field for difference in named[:NAMED] if not mendable(one.name, difference)),
        writers=writers,
        temporary=bool(unread) and all(field.temporary for field in unread),
        unread=unread[:NAMED],
        left_behind={field: cause for field, cause in causes.items() if cause is not None},
        lost=not one.restorable and paired.deleted and not paired.subject.deleted,
    )


def _lifecycle(paired: Paired) -> list[Difference | NotCompared]:
    """Return whether one of the two is deleted and the other is not: there for the listing, and for nobody else."""
    expected, found = ("deleted" if deleted else "active" for deleted in (paired.subject.deleted, paired.deleted))
    return list(differences({"lifecycle": expected}, {"lifecycle": found}))


def _missing(one: AnyComparison, subject: Subject[Any]) -> Finding:
    why = one.unseen(subject)
    verdict = Verdict.NOT_COMPARABLE if why else Verdict.MISSING
    return Finding(kind=one.name, verdict=verdict, name=subject.name, id=subject.id, detail=why)


def _not_comparable(one: AnyComparison, paired: Paired, error: ObjectError) -> Finding:
    return Finding(
        kind=one.name,
        verdict=Verdict.NOT_COMPARABLE,
        name=paired.subject.name,
        id=paired.subject.id,
        dst_id=paired.dst_id,
        detail=str(error),
        temporary=error.temporary,
    )
