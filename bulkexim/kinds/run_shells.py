"""Runs that logged models came from: a logged model names its run when it is created, so that run must exist before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import ClassVar

from bulkexim.ids import SourceId
from bulkexim.kinds.logged_model import LoggedModelKind
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.run_search import runs_by_id
from bulkexim.kinds.run_values import Run
from bulkexim.ledger.schema import State


class RunShells(RunKind):
    """Brings the source runs of logged models as far as created; the runs' own pass goes on from there."""

    until: ClassVar[State] = State.CREATED
    models: LoggedModelKind

    async def pages(self) -> AsyncIterator[Sequence[Run]]:
        seen: set[SourceId] = set()
        async for models in self.models.pages():
            wanted = {model.info.source_run_id for model in models if model.info.source_run_id} - seen
            seen |= wanted
            known = await self._pair.ledger.rows(self.name, wanted)
            missing = sorted(run_id for run_id in wanted if run_id not in known or known[run_id].dst_id is None)
            source = self._pair.source
            async for page in runs_by_id(source, self._experiments, missing, self._query, self._view):
                yield page
            # What a version needs comes whatever the selection says of deleted runs and times.
            needed = [run_id for run_id in missing if run_id in self._needed]
            async for page in runs_by_id(source, self._everywhere, needed):
                yield page

    async def total(self) -> int | None:
        return None
