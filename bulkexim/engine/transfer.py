"""The main flow of a migration: read this file first.

A migration is a row of passes, one for each kind, in the order of their dependencies. A pass lists its kind at the
source, compares with the ledger, and brings what is missing or changed to the destination (`moving`); what was deleted
there meanwhile is missing too (`gone`). Containers (experiments, registered models) are closed at the end, when
everything they hold is there, and what nothing can be linked with afterwards (deleted logged models) is sealed then;
at last both ends are looked at once more.
"""

from __future__ import annotations

from collections import Counter

from bulkexim.artifacts.copier import Copier
from bulkexim.engine.apply import Apply
from bulkexim.engine.events import Activity, Events, Skipped, StaysBehind, Uncarried, Warned
from bulkexim.engine.gone import bring_back
from bulkexim.engine.looking_back import look_back
from bulkexim.engine.moving import Pass
from bulkexim.errors import BulkeximError
from bulkexim.ids import SourceId
from bulkexim.kinds.order import Scope, left_out, passes, resolve
from bulkexim.kinds.safeguards import safeguards, shows_nothing
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.unaccounted import unaccounted
from bulkexim.kinds.unread import unread
from bulkexim.kinds.unsupported import UnsupportedKinds
from bulkexim.ledger.schema import State
from bulkexim.left_behind import Cause


async def transfer(pair: Pair, copier: Copier, events: Events) -> None:
    """Move everything that is selected; what becomes of each object is told as an event.

    :raises UsageError: the selection names something that does not exist
    :raises FatalError: the destination cannot hold what was selected, or both ends are one server, or the destination
        holds the source under another name, or a login was refused
    :raises TemporaryTrouble: a server or the disk failed for too long; the same command goes on from there
    """
    events.emit(Activity("reading what is selected"))
    scope = await resolve(pair)
    safe, gone = await safeguards(pair, scope), await bring_back(pair, scope)
    for warning in (*scope.warnings, *safe, *gone):
        events.emit(Warned(warning))
    apply = Apply(pair, events)
    done: list[Pass] = []
    listed: Counter[str] = Counter()
    async for kinds in passes(pair, copier, scope):
        for kind in kinds:
            if kind.until is not State.SEALED:
                events.emit(Activity(f"creating each {kind.name} that others need first"))
            moving = Pass(kind, pair, events, apply, listed)
            await moving.run()
            if kind.until is State.SEALED:
                done.append(moving)
        events.emit(Activity("looking for what is needed besides"))
    events.emit(Activity("completing what holds others, and deleting what is deleted at the source"))
    for moving in reversed(done):
        await moving.close()
    for warning in shows_nothing(pair, scope, listed):
        events.emit(Warned(warning))
        if not scope.known:
            events.emit(StaysBehind("source", Cause.NOT_COUNTED, "nothing at all is shown to this login"))
    events.emit(Activity("counting what stays at the source"))
    await _tell_unmoved_points(pair, scope, events)
    await _count_what_stays(pair, scope, events)
    await look_back(pair, copier, done, events)
    _tell_unread(pair, events)


def _tell_unread(pair: Pair, events: Events) -> None:
    """Tell what the source lists and cannot read; every listing so far may have met it."""
    for kind_name, left in unread(pair.source):
        events.emit(StaysBehind(kind_name, *left))


async def _tell_unmoved_points(pair: Pair, scope: Scope, events: Events) -> None:
    """Tell metric points of logged models that cannot be written, for a point is written with its run."""
    for found in await pair.ledger.unmoved_points() if scope.logged_models else ():
        events.emit(StaysBehind("logged_model", Cause.VALUE, found.detail, found.model_id, found.model_name))


async def _count_what_stays(pair: Pair, scope: Scope, events: Events) -> None:
    """Tell what was left out on demand, what MLflow does not show of a local store, and what is not moved yet.

    No failed count ends the run.
    """
    for one in unaccounted(pair.source, pair.settings):
        events.emit(StaysBehind(one.kind, *one.left, SourceId(one.id), one.where))
    try:
        async for kind_name, objects in left_out(pair, scope):
            events.emit(Skipped(kind_name, objects))
    except BulkeximError as error:
        events.emit(
            StaysBehind("left out", Cause.NOT_COUNTED, f"what was left out could not be counted: {error.problem}")
        )
    async for found in UnsupportedKinds(pair.source, pair.settings, scope.selected, scope.registry).counted():
        if found.objects:
            events.emit(Uncarried(found.kind, found.objects, found.more))
        if found.problem:
            events.emit(StaysBehind(found.kind, Cause.NOT_COUNTED, f"could not be counted: {found.problem}"))
