"""Finds what a migration left at the destination beside the objects themselves.

A server may carry out a create after it was given up on: then the object stands there twice. Nothing is removed here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from bulkexim.config import Level
from bulkexim.engine.events import Leftover, Why
from bulkexim.ids import DestinationId
from bulkexim.kinds.base import Kind, Recovered
from bulkexim.kinds.compare.base import Compared
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.order import everything
from bulkexim.kinds.scope import Pair

AnyKind = Kind[Any, Any]
#: An object, and the other one that came from the same.
Doubled = tuple[Recovered, DestinationId]


async def leftovers(pair: Pair, kinds: Iterable[AnyKind], *, listed: bool = False) -> AsyncIterator[Leftover]:
    """Yield what stands at the destination without need; the ledger says which of two objects is the one to keep.

    ``listed`` says that the ledger took in all that was there before its first run. Then objects whose name is their id
    need not be listed: no create, however late, makes a second one.
    """
    for kind in kinds:
        doubled, unfinished = ([], []) if listed and kind.named else await _suspects(pair, kind)
        for one, kept in await _really_doubled(kind, doubled):
            yield _left(kind, one, Why.DOUBLED, f"{kept} came from the same object")
        for one in await _without_source(pair, kind, unfinished):
            yield _left(kind, one, Why.HALF_MADE, "the source does not have it any more")
        async for page in kind.remnants():
            for rest in page:
                yield Leftover(kind.name, rest.dst_id, rest.name, Why.UNNEEDED, rest.detail)


async def _suspects(pair: Pair, kind: AnyKind) -> tuple[list[Doubled], list[Recovered]]:
    """Return objects of which the ledger knows another one, with that; and those that are not complete."""
    doubled: list[Doubled] = []
    unfinished: list[Recovered] = []
    async for page in kind.recover():
        rows = await pair.ledger.rows(kind.name, {one.src_id for one in page})
        for one in page:
            if not one.removable:
                continue
            row = rows.get(one.src_id)
            if row is not None and row.dst_id is not None and row.dst_id != one.dst_id:
                doubled.append((one, row.dst_id))
            elif not one.complete:
                unfinished.append(one)
    return doubled, unfinished


async def _really_doubled(kind: AnyKind, doubled: Sequence[Doubled]) -> list[Doubled]:
    """Return those of which the other one still stands: else it is the only one, whatever the ledger says."""
    if not doubled:
        return []
    standing = {one.dst_id for page in [page async for page in kind.recover()] for one in page}
    return [(one, kept) for one, kept in doubled if kept in standing]


async def _without_source(pair: Pair, kind: AnyKind, unfinished: Sequence[Recovered]) -> Sequence[Recovered]:
    if not unfinished:
        return ()
    ends = Compared(pair.source, pair.destination, pair.settings)
    compared = next(one for one in everything(ends, Files(Level.COUNTS)) if one.name == kind.name)
    existing = await compared.existing([one.src_id for one in unfinished])
    return [one for one in unfinished if one.src_id not in existing]


def _left(kind: AnyKind, one: Recovered, why: Why, detail: str) -> Leftover:
    return Leftover(kind.name, one.dst_id, one.name, why, detail)
