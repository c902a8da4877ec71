"""Logged models: with the metrics that runs measured on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from bulkexim.ends.server import Server
from bulkexim.errors import NotFound
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.base import Draft
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Facts, Paired, Present, Sides
from bulkexim.kinds.compare.masks import tag_facts
from bulkexim.kinds.compare.metrics import number
from bulkexim.kinds.experiment import ExperimentKind
from bulkexim.kinds.files import Root
from bulkexim.kinds.logged_model import REGENERATED, SOURCE_TAG, ModelPlan
from bulkexim.kinds.logged_model_values import LoggedModel, every_logged_model, get_logged_model
from bulkexim.kinds.wire import tag_value
from bulkexim.tasks import together

Models = dict[str, LoggedModel]


class LoggedModelComparison(Comparison[LoggedModel, ModelPlan]):
    """Name, type, status, lifecycle, experiment, run, params, tags, metrics with run and dataset, files."""

    home = ExperimentKind.name

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        known = await self.pair.ledger.placed(ExperimentKind.name)
        # A deleted one may be there without being asked for: versions need it.
        async for page in every_logged_model(self.pair.destination, known, deleted=True):
            yield [self._present(found) for found in page]

    def _present(self, found: LoggedModel) -> Present:
        info = found.info
        return Present(
            DestinationId(info.model_id),
            info.name,
            info.artifact_uri,
            self.origin(info.tags, tag_value(info.tags, SOURCE_TAG)),
            stranger="" if tag_value(info.tags, MARKER_TAG) or found.deleted else NOT_OURS,
            complete=info.status != "LOGGED_MODEL_PENDING",
            home=info.experiment_id,
            deleted=found.deleted,
        )

    def deleted(self, draft: Draft[ModelPlan]) -> bool:
        return draft.value.model.deleted

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        return {SourceId(model_id) for model_id in await _each(self.pair.source, ids)}

    async def read(self, pairs: Sequence[Paired]) -> Models:
        return await _each(self.pair.destination, [paired.dst_id for paired in pairs])

    async def sides(self, paired: Paired, read: Models) -> Sides | None:
        found = read.get(paired.dst_id)
        if found is None:
            return None
        plan: ModelPlan = paired.draft.value
        model = plan.model
        wanted, there = tag_facts(plan.tags, found.info.tags, rewritten=REGENERATED)
        runs = await self.translation("run", {metric.run_id for metric in model.data.metrics})
        held = {str(metric.run_id): str(metric.run_id) for metric in found.data.metrics}
        files = await self.files.sides(
            Root(model.info.artifact_uri, model_id=paired.draft.id),
            Root(found.info.artifact_uri, model_id=paired.dst_id),
            {paired.draft.id: paired.dst_id} | ({model.info.source_run_id: plan.run} if plan.run else {}),
            gone=model.deleted,
        )
        own = {"experiment": plan.experiment, "run": plan.run or "", "tags": wanted}
        theirs = {"experiment": found.info.experiment_id, "run": found.info.source_run_id, "tags": there}
        return Sides(
            {**_facts(model), **own, "metrics": _metrics(model, runs), **files.expected},
            {**_facts(found), **theirs, "metrics": _metrics(found, held), **files.found},
            files.remarks,
        )


async def _each(server: Server, ids: Sequence[str]) -> Models:
    found: Models = {}

    async def read(model_id: str) -> None:
        try:
            found[model_id] = await get_logged_model(server, model_id)
        except NotFound:
            return

    async with together() as tasks:
        for model_id in ids:
            tasks.start_soon(read, model_id)
    return found


def _facts(model: LoggedModel) -> Facts:
    info = model.info
    return {
        "name": info.name,
        "type": info.model_type,
        "status": info.status,
        "lifecycle": "deleted" if model.deleted else "active",
        "params": {param.key: param.value for param in model.data.params},
    }


def _metrics(model: LoggedModel, runs: Mapping[str, str]) -> Facts:
    """Return the points of a model by key, run and dataset; what a run measured that is not moved stays behind."""
    groups: dict[str, list[str]] = {}
    for metric in model.data.metrics:
        if metric.run_id in runs:
            dataset = f", dataset {metric.dataset_name} ({metric.dataset_digest})" if metric.dataset_name else ""
            point = f"step {metric.step}, time {metric.timestamp}: {number(metric.value)}"
            groups.setdefault(f"{metric.key} of run {runs[metric.run_id]}{dataset}", []).append(point)
    return {group: dict(Counter(points)) for group, points in groups.items()}
