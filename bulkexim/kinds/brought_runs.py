"""Runs that migrations brought to the destination: recognised there by their markers, and taken away by a sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bulkexim.ids import DIGEST_TAG, MARKER_TAG, SWEPT_TAG, DestinationId, SourceId, marker
from bulkexim.kinds.base import Recovered, Remnant
from bulkexim.kinds.experiment import ExperimentKind
from bulkexim.kinds.run_search import search_runs
from bulkexim.kinds.run_translation import DELETED
from bulkexim.kinds.run_values import ENDED, EXPERIMENTS_AT_ONCE, SOURCE_TAG, Run, get_run
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.wire import own_keys, tag_value

KIND = "run"


@dataclass(frozen=True, slots=True)
class BroughtRuns:
    """The runs of all experiments that a migration knows at the destination."""

    pair: Pair

    async def recovered(self) -> AsyncIterator[Sequence[Recovered]]:
        """Yield runs that came from this source, by their markers."""
        async for page in self._tagged(MARKER_TAG, "ALL"):
            yield [found for run in page if (found := self._recovered(run)) is not None]

    async def half_swept(self) -> AsyncIterator[Sequence[Remnant]]:
        """Yield runs of which a sweep that was interrupted took away a part only."""
        async for page in self._tagged(SWEPT_TAG, "ACTIVE_ONLY"):
            detail = "a sweep was interrupted here"
            yield [Remnant(DestinationId(run.info.run_id), run.info.run_name, detail) for run in page]

    async def _tagged(self, key: str, view: str) -> AsyncIterator[Sequence[Run]]:
        """Yield the runs of all experiments that a migration knows at the destination, if they have such a tag."""
        known = await self.pair.ledger.placed(ExperimentKind.name)
        for start in range(0, len(known), EXPERIMENTS_AT_ONCE):
            chunk = known[start : start + EXPERIMENTS_AT_ONCE]
            async for page in search_runs(self.pair.destination, chunk, view, f"tags.`{key}` LIKE '%'"):
                yield page

    async def take_away(self, dst_id: DestinationId) -> None:
        """Put a run into the bin, without anything that says from what it came.

        :raises ObjectError: see `bulkexim.kinds.base.Kind.discard`
        """
        destination = self.pair.destination
        found = await get_run(destination, dst_id)
        if found.deleted:
            await destination.send("POST", "runs/restore", {"run_id": dst_id})
        # MLflow only puts a run into the bin, so nothing must show there from what it came. The one tag comes first: by
        # it the next sweep goes on where this one was interrupted.
        if mark := found.tag(MARKER_TAG):
            body = {"run_id": dst_id, "key": SWEPT_TAG, "value": mark}
            await destination.send("POST", "runs/set-tag", body)
        for key in own_keys(found.data.tags):
            await destination.remove("POST", "runs/delete-tag", {"run_id": dst_id, "key": key})
        await destination.send("POST", "runs/delete", {"run_id": dst_id})

    def _recovered(self, run: Run) -> Recovered | None:
        src_id = SourceId(tag_value(run.data.tags, SOURCE_TAG))
        if run.tag(MARKER_TAG) != marker(self.pair.source.identity, KIND, src_id):
            return None
        content = run.tag(DIGEST_TAG)
        ended = run.info.status in ENDED
        sealed = ended and content.endswith(DELETED) == run.deleted
        return Recovered(
            src_id,
            run.info.run_name,
            DestinationId(run.info.run_id),
            run.info.artifact_uri,
            content if sealed else "",
            complete=ended,
        )
