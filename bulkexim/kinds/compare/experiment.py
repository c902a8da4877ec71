"""Experiments: by marker, or by name where the marker was taken away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from bulkexim.errors import NotFound
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId, marker
from bulkexim.kinds.base import Draft
from bulkexim.kinds.compare.base import Comparison, Paired, Present, Sides
from bulkexim.kinds.compare.masks import tag_facts
from bulkexim.kinds.experiment import CREATED_TAG, SOURCE_TAG, Experiment, experiment, experiments, kept_tags
from bulkexim.kinds.scope import chosen
from bulkexim.kinds.wire import tag_value, users_tags


class _One(msgspec.Struct, frozen=True):
    experiment: Experiment


class ExperimentComparison(Comparison[Experiment, Experiment]):
    """Name, lifecycle and tags; of an experiment that was joined, only the tags that came from the source."""

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        async for page in experiments(self.pair.destination, "ALL"):
            yield [self._present(found) for found in page]

    def _present(self, found: Experiment) -> Present:
        src_id = self.origin(found.tags, tag_value(found.tags, SOURCE_TAG))
        return Present(
            DestinationId(found.experiment_id),
            found.name,
            found.artifact_location,
            src_id,
            own=bool(tag_value(found.tags, CREATED_TAG)),
            deleted=found.deleted,
        )

    def deleted(self, draft: Draft[Experiment]) -> bool:
        return draft.value.deleted

    def selects(self, found: Present) -> bool:
        settings = self.pair.settings
        return settings.moves_experiments and chosen(settings.experiments, found.name, found.src_id or "")

    async def by_name(self, draft: Draft[Experiment]) -> Present | None:
        try:
            params = {"experiment_name": draft.name}
            found = (await self.pair.destination.get("experiments/get-by-name", _One, params)).experiment
        except NotFound:
            return None
        return self._present(found)

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        found: set[SourceId] = set()
        async for page in experiments(self.pair.source, "ALL"):
            found |= {one.experiment_id for one in page}
        return found & set(ids)

    async def read(self, pairs: Sequence[Paired]) -> Any:
        del pairs

    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        del read
        try:
            found = await experiment(self.pair.destination, paired.dst_id)
        except NotFound:
            return None
        value: Experiment = paired.draft.value
        mark = marker(self.pair.source.identity, self.kind.name, paired.draft.id)
        held, created = tag_value(found.tags, MARKER_TAG), tag_value(found.tags, CREATED_TAG)
        # Another source that joined the experiment since has put its marker, and what it keeps, in place of ours.
        shared = held not in {"", mark}
        tags = [*users_tags(value.tags), *(() if shared else kept_tags(value))]
        wanted, there = tag_facts(tags, found.tags, others=created == mark and not shared)
        marked = bool(held)
        return Sides(
            {"name": paired.draft.name, "lifecycle": value.lifecycle_stage, "tags": wanted, "marker": True},
            {"name": found.name, "lifecycle": found.lifecycle_stage, "tags": there, "marker": marked},
        )
