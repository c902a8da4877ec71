"""A last look at both ends when everything was moved: what is there twice, and what changed at the source meanwhile."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from bulkexim.artifacts.copier import Copier
from bulkexim.engine.events import Change, Changed, Events, Looking, PhaseEnded, StaysBehind
from bulkexim.engine.leftovers import leftovers
from bulkexim.engine.moving import Pass
from bulkexim.engine.outcomes import AnyDraft
from bulkexim.errors import BulkeximError
from bulkexim.kinds.base import Kind
from bulkexim.kinds.order import every_kind, resolve
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.schema import Row, State
from bulkexim.left_behind import Cause
from bulkexim.tasks import together


async def look_back(pair: Pair, copier: Copier, done: Sequence[Pass], events: Events) -> None:
    """Tell what is left over at the destination, and what the next run will carry."""

    async def at_the_destination() -> None:
        unsure, found = pair.destination.client.traffic.unsure, False
        # MLflow reads every version of a model to list it, so that is left out.
        async for left in leftovers(pair, _once(done), listed=True):
            found = True
            events.emit(left)
        # A kind that was left out was not looked at, so nothing is known of it.
        if not (found or unsure or pair.settings.without):
            await pair.ledger.cleared()

    async def at_the_source() -> None:
        for kind in every_kind(pair, copier, await resolve(pair)):
            async for draft, how in _news(pair, kind):
                events.emit(Changed(kind.name, draft.id, draft.name, how))

    started, look = time.monotonic(), Looking()
    clear = await pair.ledger.in_thread(pair.ledger.clear)
    events.emit(look)
    async with together() as tasks:
        if not clear:  # Else nothing was created since the last look, and nothing can come late.
            tasks.start_soon(_checked, events, "destination", at_the_destination)
        if any(one.moved for one in done):  # Else the run was too short to have missed anything.
            tasks.start_soon(_checked, events, "source", at_the_source)
    events.emit(PhaseEnded(look.kind, time.monotonic() - started))


async def _checked(events: Events, end: str, check: Callable[[], Awaitable[None]]) -> None:
    """Look at one end; that it failed is told, for the report of what was moved must not be lost."""
    try:
        await check()
    except BulkeximError as error:
        detail = f"the {end} could not be checked: {error.problem}"
        events.emit(StaysBehind(Looking().kind, Cause.NOT_COUNTED, detail))


def _once(done: Sequence[Pass]) -> list[Kind[Any, Any]]:
    """Return each kind once: its first pass knows how to recognise all of its objects."""
    first: dict[str, Kind[Any, Any]] = {}
    for one in done:
        first.setdefault(one.kind.name, one.kind)
    return list(first.values())


async def _news(pair: Pair, kind: Kind[Any, Any]) -> AsyncIterator[tuple[AnyDraft, Change]]:
    """Yield what is not at the source as it was moved."""
    async for values in kind.pages():
        drafts = await kind.drafts(values, final=False)
        rows = await pair.ledger.rows(kind.name, [draft.id for draft in drafts])
        for draft in drafts:
            how = _change(draft, rows.get(draft.id))
            if how is not None:
                yield draft, how


def _change(draft: AnyDraft, row: Row | None) -> Change | None:
    if row is None:
        return Change.NEW
    if row.error or (draft.waits and row.state is State.SEALED):
        return None  # It failed, and is told so; or what it waits for will never come.
    if draft.growing:
        return Change.GROWING
    return None if row.state is State.SEALED and draft.is_content(row.digest) else Change.CHANGED
