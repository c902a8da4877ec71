"""Which object of the destination came from which of the source: by their markers, read afresh, never by a ledger."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bulkexim.engine.verification import Finding, Tally, Verdict
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.base import Compared, Comparison, Paired, Present, Subject

AnyComparison = Comparison[Any]
#: Of an object whose source was moved from another address of the same server.
ANOTHER_ID = "it came from the same object under another --source-id"


@dataclass(slots=True)
class _Known:
    """The objects of one kind so far, by source id."""

    comparison: AnyComparison
    #: Partners that their migration did not complete, with their names.
    open: dict[SourceId, str] = field(default_factory=dict)
    #: Objects of the destination that are deleted.
    deleted: set[DestinationId] = field(default_factory=set)
    #: Objects that the destination has in the selection and that were not met at the source so far, with their names.
    unmet: dict[SourceId, str] = field(default_factory=dict)
    met: set[SourceId] = field(default_factory=set)
    #: Objects of the destination, with their names, that came from the object of such a birth under another source id.
    twins: dict[str, list[tuple[DestinationId, str]]] = field(default_factory=dict)
    #: Of a container: those that a migration created, those whose source is selected, and beside these, those whose
    #: source would be selected if it were still there.
    own: set[DestinationId] = field(default_factory=set)
    selected: set[DestinationId] = field(default_factory=set)
    held: set[DestinationId] = field(default_factory=set)


@dataclass(slots=True)
class Pairing:
    """Finds the partner of each object, and tells what has none at the source.

    It holds the ids of all objects of both ends, the names of those that were not met yet, and nothing else of them.
    """

    ends: Compared
    tally: Tally
    _kinds: dict[str, _Known] = field(default_factory=dict)

    async def pair_up(self, comparison: AnyComparison) -> None:
        """Read the markers of a kind, once; then find by name the containers that lost theirs."""
        name = comparison.name
        if name not in self._kinds:
            self._kinds[name] = _Known(comparison)
            async for page in comparison.present():
                self._take(self._kinds[name], page)
        if comparison.container:
            async for subjects in comparison.subjects():
                for subject in subjects:
                    await self._select(self._kinds[name], comparison, subject)

    async def note(self, comparison: AnyComparison) -> None:
        """Read the markers of a kind that is not compared, for what points to its objects."""
        async for page in comparison.present():
            for found in page:
                if found.src_id is not None:
                    self.ends.partners.of(comparison.name).setdefault(found.src_id, found.id)
                    self.ends.partners.origins(comparison.name)[found.id] = found.src_id

    @property
    def met(self) -> Mapping[str, Container[str]]:
        """The objects that were met at the source so far, by kind."""
        return {name: known.met for name, known in self._kinds.items()}

    def expected(self, kind: str) -> int:
        """Return how many objects of the selection the destination has that were not met at the source yet."""
        return len(self._kinds[kind].unmet)

    def split(self, kind: str, subjects: Sequence[Subject[Any]]) -> tuple[list[Paired], list[Subject[Any]]]:
        """Return, of objects met at the source, those that have a partner, and those that miss one."""
        known, partners = self._kinds[kind], self.ends.partners.of(kind)
        # The pages of a source that is written to shift: one may show again what was compared.
        new = {subject.id: subject for subject in subjects if subject.id not in known.met}
        known.met |= new.keys()
        for src_id, subject in new.items():
            known.unmet.pop(src_id, None)
            for dst_id, name in known.twins.pop(known.comparison.birth(subject), ()):
                # A container that two sources share bears the marker of the later one.
                if partners.get(src_id) != dst_id:
                    self._extra(kind, dst_id, name, "doubled: " * (src_id in partners) + ANOTHER_ID, src_id)
        pairs = [
            Paired(subject, partners[src_id], partners[src_id] in known.deleted)
            for src_id, subject in new.items()
            if src_id in partners
        ]
        return pairs, [subject for src_id, subject in new.items() if src_id not in partners]

    async def left_over(self) -> None:
        """Tell what came from this source, from objects that the source does not have any more."""
        for name, known in self._kinds.items():
            ids = sorted(known.unmet)
            existing = await known.comparison.existing(ids) if ids else set()
            self.tally.unselected += len(existing)
            for src_id in ids:
                if src_id not in existing:
                    partner = self.ends.partners.of(name)[src_id]
                    gone = "the source does not have it any more"
                    self._extra(name, partner, known.unmet[src_id], gone, src_id)

    def _take(self, known: _Known, page: Sequence[Present]) -> None:
        kind = known.comparison.name
        home = self._kinds.get(known.comparison.home)
        for found in page:
            if found.stranger and home is not None and found.home in home.selected & home.own:
                self._extra(kind, found.id, found.name, found.stranger, excess=found.needless)
            self._adopt(known, found)
            if found.twin is not None:
                known.twins.setdefault(found.twin, []).append((found.id, found.name))
            if found.src_id is not None and self._expected(known, found):
                known.unmet[found.src_id] = found.name
                known.held |= {found.id} if known.comparison.container else set()
            known.own |= {found.id} if known.comparison.container and found.own else set()

    def _expected(self, known: _Known, found: Present) -> bool:
        """Return whether the source object of ``found`` should be met, unless it is gone."""
        home = self._kinds.get(known.comparison.home)
        if home is None:
            return known.comparison.selects(found)
        return found.home in home.selected | home.held

    def _adopt(self, known: _Known, found: Present) -> None:
        kind = known.comparison.name
        if found.deleted:
            known.deleted.add(found.id)
        if found.src_id is None:
            return
        partners = self.ends.partners.of(kind)
        self.ends.partners.origins(kind)[found.id] = found.src_id
        if found.src_id not in partners:
            partners[found.src_id] = found.id
            if not found.complete:
                known.open[found.src_id] = found.name
            return
        kept, other, name = partners[found.src_id], found.id, found.name
        if not known.comparison.restorable and {kept, other} & known.deleted:
            # MLflow can do nothing about the deleted one, so the other one is in its place.
            partners[found.src_id] = kept if found.deleted else other
            return
        if found.complete and found.src_id in known.open:
            kept, other, name = other, kept, known.open.pop(found.src_id)
            partners[found.src_id] = kept
        self._extra(kind, other, name, f"doubled: {kept} came from the same object", found.src_id, excess=True)

    async def _select(self, known: _Known, comparison: AnyComparison, subject: Subject[Any]) -> None:
        partners = self.ends.partners.of(comparison.name)
        if subject.id not in partners:
            found = await comparison.by_name(subject)
            # Another object of the source may have become what bears the name.
            origins = self.ends.partners.origins(comparison.name)
            if found is None or origins.get(found.id, subject.id) != subject.id:
                return
            self._adopt(known, found._replace(src_id=subject.id))
        known.selected.add(partners[subject.id])

    def _extra(
        self,
        kind: str,
        dst_id: DestinationId,
        name: str,
        detail: str,
        src_id: SourceId | None = None,
        *,
        excess: bool = False,
    ) -> None:
        found = Finding(
            kind=kind, verdict=Verdict.EXTRA, name=name, id=src_id, dst_id=dst_id, detail=detail, excess=excess
        )
        self.tally.found(found)
