"""Which object of the destination came from which of the source: by their markers, read afresh, never by a ledger."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from bulkexim.engine.verification import Finding, Tally, Verdict
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.base import Draft
from bulkexim.kinds.compare.base import Comparison, Paired, Present
from bulkexim.kinds.scope import Pair

AnyComparison = Comparison[Any, Any]


@dataclass(slots=True)
class _Known:
    """The objects of one kind so far, by source id."""

    comparison: AnyComparison
    partners: dict[SourceId, DestinationId] = field(default_factory=dict)
    #: Partners that their migration did not complete, with their names.
    open: dict[SourceId, str] = field(default_factory=dict)
    #: Objects of the destination that are in the bin.
    binned: set[DestinationId] = field(default_factory=set)
    #: Objects that the destination has in the selection, and which were not met at the source so far.
    unmet: set[SourceId] = field(default_factory=set)
    met: set[SourceId] = field(default_factory=set)
    #: Of a container: those that a migration created, those whose source is selected, and beside these, those whose
    #: source would be selected if it were still there.
    own: set[DestinationId] = field(default_factory=set)
    selected: set[DestinationId] = field(default_factory=set)
    held: set[DestinationId] = field(default_factory=set)


@dataclass(slots=True)
class Pairing:
    """Fills an empty ledger with the pairs of each kind, and tells what has no partner at the source.

    It holds the ids of all objects of both ends, and nothing else of them.
    """

    pair: Pair
    tally: Tally
    _kinds: dict[str, _Known] = field(default_factory=dict)

    async def pair_up(self, comparison: AnyComparison) -> None:
        """Read the markers of a kind, once; then find by name the containers that lost theirs."""
        name = comparison.kind.name
        if name not in self._kinds:
            self._kinds[name] = _Known(comparison)
            async for page in comparison.present():
                await self._take(self._kinds[name], page)
        if comparison.kind.container:
            async for values in comparison.kind.pages():
                for draft in await comparison.kind.drafts(values, final=True):
                    await self._select(self._kinds[name], draft)

    async def met(self, kind: str, ids: set[SourceId]) -> Container[SourceId]:
        """Return the objects of a kind that were met at the source."""
        del ids
        return self._kinds[kind].met if kind in self._kinds else ()

    async def note(self, comparison: AnyComparison) -> None:
        """Read the markers of a kind that is not compared, for what points to its objects."""
        async for page in comparison.present():
            known = [(found.src_id, found.name, found.id, found.location, "") for found in page if found.src_id]
            await self.pair.ledger.adopted(comparison.kind.name, known)

    async def split(self, kind: str, drafts: Sequence[Draft[Any]]) -> tuple[list[Paired], list[Draft[Any]]]:
        """Return, of objects met at the source, those that have a partner, and those that miss one."""
        known = self._kinds[kind]
        known.met |= {draft.id for draft in drafts}
        known.unmet -= known.met
        missing = [draft for draft in drafts if draft.id not in known.partners]
        # Known to the ledger, they are not taken for objects that nobody selected.
        await self.pair.ledger.planned(kind, {draft.id: draft.name for draft in missing})
        there = [(draft, known.partners[draft.id]) for draft in drafts if draft.id in known.partners]
        return [Paired(draft, dst_id, dst_id in known.binned) for draft, dst_id in there], missing

    async def left_over(self) -> None:
        """Tell what came from this source, from objects that the source does not have any more."""
        for name, known in self._kinds.items():
            ids = sorted(known.unmet)
            existing = await known.comparison.existing(ids) if ids else set()
            self.tally.unselected += len(existing)
            rows = await self.pair.ledger.rows(name, set(ids) - existing)
            for src_id, row in rows.items():
                self._extra(name, known.partners[src_id], row.name, "the source does not have it any more", src_id)

    async def _take(self, known: _Known, page: Sequence[Present]) -> None:
        kind = known.comparison.kind.name
        home = self._kinds.get(known.comparison.home)
        for found in page:
            if found.stranger and home is not None and found.home in home.selected & home.own:
                self._extra(kind, found.id, found.name, found.stranger)
        await self._adopt(kind, known, page)
        ours = [found for found in page if found.src_id is not None and self._expected(known, found)]
        known.unmet |= {found.src_id for found in ours if found.src_id is not None}
        if known.comparison.kind.container:
            known.own |= {found.id for found in page if found.own}
            known.held |= {found.id for found in ours}

    def _expected(self, known: _Known, found: Present) -> bool:
        """Return whether the source object of ``found`` should be met, unless it is gone."""
        home = self._kinds.get(known.comparison.home)
        if home is None:
            return known.comparison.selects(found)
        return found.home in home.selected | home.held

    async def _adopt(self, kind: str, known: _Known, page: Sequence[Present]) -> None:
        new, better = [], []
        known.binned |= {found.id for found in page if found.deleted}
        for found in page:
            if found.src_id is None:
                continue
            if found.src_id not in known.partners:
                new.append((found.src_id, found.name, found.id, found.location, ""))
                known.open |= {} if found.complete else {found.src_id: found.name}
                known.partners[found.src_id] = found.id
                continue
            kept, other, name = known.partners[found.src_id], found.id, found.name
            if found.complete and found.src_id in known.open:
                kept, other, name = other, kept, known.open.pop(found.src_id)
                better.append((found.src_id, found.id, found.location))
                known.partners[found.src_id] = kept
            self._extra(kind, other, name, f"doubled: {kept} came from the same object", found.src_id)
        await self.pair.ledger.adopted(kind, new)
        for partner in better:
            await self.pair.ledger.created(kind, *partner)

    async def _select(self, known: _Known, draft: Draft[Any]) -> None:
        if draft.id not in known.partners:
            found = await known.comparison.by_name(draft)
            if found is None:
                return
            await self._adopt(known.comparison.kind.name, known, [found._replace(src_id=draft.id)])
        known.selected.add(known.partners[draft.id])

    def _extra(self, kind: str, dst_id: DestinationId, name: str, detail: str, src_id: SourceId | None = None) -> None:
        self.tally.found(Finding(kind=kind, verdict=Verdict.EXTRA, name=name, id=src_id, dst_id=dst_id, detail=detail))
