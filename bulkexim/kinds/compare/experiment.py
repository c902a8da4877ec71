"""Experiments: by marker, or by name where the marker was taken away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bulkexim.ids import MARKER_TAG, PREFIX, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import Comparison, Paired, Present, Sides, Subject
from bulkexim.kinds.compare.cut import whole
from bulkexim.kinds.compare.records import Experiment, value_of
from bulkexim.kinds.compare.selection import fits, new_name
from bulkexim.kinds.compare.tags import KEPT, carried, kept, tag_facts

CREATED_TAG = f"{PREFIX}created"
#: Every server has it, and joins it; at the destination it is never deleted.
DEFAULT, DEFAULT_ID = "Default", "0"


def _birth(src_id: str, created: object) -> str:
    """Every server has an experiment 0, and many have one of any other small number."""
    return f"{src_id}, created {created}" if created and src_id != DEFAULT_ID else ""


@dataclass
class ExperimentComparison(Comparison[Experiment]):
    """Name, lifecycle and tags; of an experiment that was joined, only the tags that came from the source."""

    name: ClassVar[str] = "experiment"
    container: ClassVar[bool] = True

    chosen: Sequence[Experiment] = ()

    async def subjects(self) -> AsyncIterator[Sequence[Subject[Experiment]]]:
        renames = self.ends.settings.experiment_renames
        named = [(new_name(renames, one.name), one) for one in self.chosen]
        yield [Subject(SourceId(one.experiment_id), name, one, one.deleted and name != DEFAULT) for name, one in named]

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        async for page in listings.experiments(self.ends.destination):
            yield [self._present(found) for found in page]

    def _present(self, found: Experiment) -> Present:
        src_id, created = (value_of(found.tags, KEPT + kept) for kept in ("experiment_id", "creation_time"))
        return Present(
            DestinationId(found.experiment_id),
            found.name,
            self.origin(found.tags, src_id),
            own=bool(value_of(found.tags, CREATED_TAG)),
            deleted=found.deleted,
            twin=self.twin(found.tags, src_id, _birth(src_id, created)),
        )

    def birth(self, subject: Subject[Experiment]) -> str:
        return _birth(subject.id, subject.value.creation_time)

    def selects(self, found: Present) -> bool:
        settings = self.ends.settings
        return settings.moves_experiments and fits(settings.experiments, found.name, found.src_id or "")

    async def by_name(self, subject: Subject[Experiment]) -> Present | None:
        found = await listings.experiment_named(self.ends.destination, subject.name)
        return self._present(found) if found else None

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        everything = {
            SourceId(one.experiment_id) async for page in listings.experiments(self.ends.source) for one in page
        }
        return everything & set(ids)

    async def read(self, pairs: Sequence[Paired]) -> dict[str, Experiment]:
        destination = self.ends.destination
        return await listings.each(
            lambda one: listings.experiment(destination, one), [paired.dst_id for paired in pairs]
        )

    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        found: Experiment | None = read.get(paired.dst_id)
        if found is None:
            return None
        value: Experiment = paired.subject.value
        lifecycle = "deleted" if paired.subject.deleted else "active"
        mark = self.mark(paired.subject.id)
        held, created = value_of(found.tags, MARKER_TAG), value_of(found.tags, CREATED_TAG)
        # Another source that joined the experiment since has put its marker, and what it keeps, in place of ours.
        shared = held not in {"", mark}
        expected = carried(value.tags)
        if not shared:
            expected |= kept(
                experiment_id=value.experiment_id,
                creation_time=value.creation_time,
                artifact_location=value.artifact_location,
            )
        tags = {tag.key: tag.value for tag in found.tags}
        wanted, there = tag_facts(expected, tags, others=created == mark and not shared)
        name = whole("name", found.name, tags)
        return Sides(
            {"name": paired.subject.name, "lifecycle": lifecycle, "tags": wanted, "marker": True},
            {"name": name, "lifecycle": found.lifecycle_stage, "tags": there, "marker": bool(held)},
        )
