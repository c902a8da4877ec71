"""Runs: every value, the full metric history, inputs, outputs, files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bulkexim.ends.server import Server
from bulkexim.errors import NotFound
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.base import Draft
from bulkexim.kinds.columns import lengths
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Facts, Paired, Present, Sides
from bulkexim.kinds.compare.files import FileSides
from bulkexim.kinds.compare.masks import tag_facts
from bulkexim.kinds.compare.metrics import MetricReader
from bulkexim.kinds.experiment import ExperimentKind, experiments
from bulkexim.kinds.files import Root, RunFolders
from bulkexim.kinds.history import histories
from bulkexim.kinds.run import SOURCE_TAG
from bulkexim.kinds.run_values import (
    ENDED,
    EXPERIMENTS_AT_ONCE,
    NAME_TAG,
    OWN_ID_TAGS,
    ModelLink,
    Run,
    RunPlan,
    get_run,
    own_ids,
    runs_by_id,
    search_runs,
)
from bulkexim.kinds.wire import Tag
from bulkexim.tasks import together

_ID = re.compile(r"(?:m-)?[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Window:
    """What was read for a window of pairs: both runs of each, by their own ids, and the way to their histories."""

    sources: Mapping[str, Run]
    arrived: Mapping[str, Run]
    metrics: MetricReader


@dataclass
class RunComparison(Comparison[Run, RunPlan]):
    """Compares runs; ``linked`` says that logged models are moved too, and with them the links to them."""

    home = ExperimentKind.name

    linked: bool = False

    def __post_init__(self) -> None:
        self._folders = RunFolders(self.pair.source), RunFolders(self.pair.destination)

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        known = await self.pair.ledger.placed(ExperimentKind.name)
        for start in range(0, len(known), EXPERIMENTS_AT_ONCE):
            chunk = known[start : start + EXPERIMENTS_AT_ONCE]
            async for page in search_runs(self.pair.destination, chunk, "ALL", ""):
                yield [self._present(found) for found in page]

    def _present(self, found: Run) -> Present:
        info = found.info
        return Present(
            DestinationId(info.run_id),
            info.run_name,
            info.artifact_uri,
            self.origin(found.data.tags, found.tag(SOURCE_TAG)),
            stranger="" if found.tag(MARKER_TAG) or found.deleted else NOT_OURS,
            complete=info.status in ENDED,
            home=info.experiment_id,
            deleted=found.deleted,
        )

    def deleted(self, draft: Draft[RunPlan]) -> bool:
        return draft.value.run.deleted

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        everywhere = [one.experiment_id async for page in experiments(self.pair.source, "ALL") for one in page]
        return {run.info.run_id async for page in runs_by_id(self.pair.source, everywhere, ids) for run in page}

    async def read(self, pairs: Sequence[Paired]) -> Window:
        runs: list[Run] = [paired.draft.value.run for paired in pairs]
        sources = {str(run.info.run_id): run for run in runs}
        if self.linked:
            # A search does not tell the logged models that a run read.
            sources = await _each(self.pair.source, list(sources))
            arrived = await _each(self.pair.destination, [paired.dst_id for paired in pairs])
        else:
            arrived = await self._found([paired.dst_id for paired in pairs])
        expected = await histories(self.pair.source, {run.info.run_id: run.data.metrics for run in sources.values()})
        found = await histories(self.pair.destination, {run.info.run_id: run.data.metrics for run in arrived.values()})
        return Window(sources, arrived, MetricReader(self.pair.source, self.pair.destination, expected, found))

    async def _found(self, ids: Sequence[str]) -> dict[str, Run]:
        known = await self.pair.ledger.placed(ExperimentKind.name)
        return {run.info.run_id: run async for page in runs_by_id(self.pair.destination, known, ids) for run in page}

    async def sides(self, paired: Paired, read: Window) -> Sides | None:
        plan: RunPlan = paired.draft.value
        found = read.arrived.get(paired.dst_id)
        if found is None:
            return None
        run = read.sources.get(paired.draft.id, plan.run)
        ids = await self._ids(run, found) | {str(paired.draft.id): str(paired.dst_id)}
        own = [own_ids(tag, ids) for tag in run.data.tags if tag.key in OWN_ID_TAGS]
        there = [own_ids(tag, ids) if tag.key in OWN_ID_TAGS else tag for tag in found.data.tags]
        wanted, held = tag_facts([*plan.create_tags, *plan.late_tags, *own], there, rewritten=[NAME_TAG])
        metrics = await read.metrics.sides(paired.draft.id, paired.dst_id)
        files = await self._files(paired, run, found)
        longest = lengths(self.pair.destination.capabilities)
        params = [Tag(param.key, param.value[: longest.param]) for param in run.data.params]
        # A run without a name gets one from the server.
        names = ({"name": run.info.run_name}, {"name": found.info.run_name}) if run.info.run_name else ({}, {})
        links = (_links(run, ids), _links(found, None)) if self.linked else ({}, {})
        return Sides(
            {
                **_facts(run, params),
                **names[0],
                **links[0],
                **files.expected,
                "experiment": plan.experiment,
                "tags": wanted,
                "metrics": metrics.expected,
            },
            {
                **_facts(found, found.data.params),
                **names[1],
                **links[1],
                **files.found,
                "experiment": found.info.experiment_id,
                "tags": held,
                "metrics": metrics.found,
            },
            files.remarks,
        )

    async def _ids(self, *runs: Run) -> dict[str, str]:
        """Return the destination ids of every run and logged model that some runs name."""
        tags = [tag.value for run in runs for tag in run.data.tags if tag.key in OWN_ID_TAGS]
        named = {name for text in tags for name in _ID.findall(text)}
        named |= {link.model_id for run in runs for link in (*run.inputs.model_inputs, *run.outputs.model_outputs)}
        return await self.translation("run", named) | await self.translation("logged_model", named)

    async def _files(self, paired: Paired, run: Run, found: Run) -> FileSides:
        before, after = self._folders
        source = Root(run.info.artifact_uri, run_id=paired.draft.id)
        destination = Root(found.info.artifact_uri, run_id=paired.dst_id)
        return await self.files.sides(
            source if await before.may_have_artifacts(run) else None,
            destination if await after.may_have_artifacts(found) else None,
            {paired.draft.id: paired.dst_id},
        )


def _facts(run: Run, params: Sequence[Tag]) -> Facts:
    info = run.info
    return {
        "user": info.user_id,
        "status": info.status,
        "start time": info.start_time or 0,
        "end time": info.end_time or 0,
        "lifecycle": info.lifecycle_stage,
        "params": {param.key: param.value for param in params},
        "dataset inputs": _datasets(run.inputs.dataset_inputs),
    }


def _datasets(given: Sequence[Mapping[str, Any]]) -> Facts:
    """Return datasets by name and digest; one that is there twice is told apart, whatever the order of the server."""
    found: dict[str, Facts] = {}
    for label, facts in sorted(map(_dataset, given), key=repr):
        free = label
        while free in found:
            free += " again"
        found[free] = facts
    return found


def _dataset(given: Mapping[str, Any]) -> tuple[str, Facts]:
    dataset = dict(given.get("dataset", {}))
    label = f"{dataset.pop('name', '')} ({dataset.pop('digest', '')})"
    tags = {tag.get("key", ""): tag.get("value", "") for tag in given.get("tags", ())}
    return label, {**{key: value for key, value in dataset.items() if value != ""}, "tags": tags}


def _links(run: Run, ids: Mapping[str, str] | None) -> Facts:
    """Return the logged models that a run read and wrote, of those that are there (``ids``; ``None``: all)."""

    def there(links: Sequence[ModelLink]) -> dict[str, str]:
        steps = {link.model_id: f"step {link.step}" for link in links}
        return {ids[old] if ids else old: step for old, step in steps.items() if ids is None or old in ids}

    return {"model inputs": there(run.inputs.model_inputs), "model outputs": there(run.outputs.model_outputs)}


async def _each(server: Server, ids: Sequence[str]) -> dict[str, Run]:
    found: dict[str, Run] = {}

    async def read(run_id: str) -> None:
        run = await _one(server, run_id)
        if run is not None:
            found[run_id] = run

    async with together() as tasks:
        for run_id in ids:
            tasks.start_soon(read, run_id)
    return found


async def _one(server: Server, run_id: str) -> Run | None:
    try:
        return await get_run(server, run_id)
    except NotFound:
        return None
