"""Runs: created with all their tags, filled with one log-batch call for each thousand values, sealed by their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bulkexim.artifacts.copier import Copier
from bulkexim.ends.page_tokens import token_at
from bulkexim.errors import ObjectError
from bulkexim.http.retry import Repeat
from bulkexim.ids import DIGEST_TAG, MARKER_TAG, DestinationId, MadeFrom, SourceId, marker
from bulkexim.kinds.base import FOR_A_VERSION, Draft, Estimate, Filled, Kind, Placed, Recovered, Remnant
from bulkexim.kinds.brought_runs import BroughtRuns
from bulkexim.kinds.case import Case
from bulkexim.kinds.columns import RUN_NAME, USER, Form, cut, lengths, missing, whole_or_cut
from bulkexim.kinds.experiment import Experiment, ExperimentKind, created_for, experiment, reopened
from bulkexim.kinds.files import Root, RunFolders, copy_files, count_files
from bulkexim.kinds.history import Histories, expected_requests, histories
from bulkexim.kinds.run_search import PAGE, runs_by_id, search_runs
from bulkexim.kinds.run_translation import Known, translated, writes
from bulkexim.kinds.run_values import (
    EXPERIMENTS_AT_ONCE,
    NAME_TAG,
    OWN_ID_TAGS,
    PARENT_TAG,
    SOURCE_TAG,
    OneRun,
    Run,
    RunPage,
    RunPlan,
    get_run,
    own_ids,
)
from bulkexim.kinds.run_writes import unmoved_input, write_data, write_inputs, write_outputs
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.sizes import create
from bulkexim.kinds.wire import (
    gone_tags,
    marks,
    provenance_of,
)
from bulkexim.ledger.queries import Link
from bulkexim.ledger.schema import Row
from bulkexim.left_behind import LeftBehind
from bulkexim.tasks import together


@dataclass(frozen=True, slots=True)
class RunDetails:
    """What a window of runs needs beyond its page: histories, links to logged models, model inputs."""

    histories: Histories
    links: dict[SourceId, list[Link]]
    inputs: dict[SourceId, list[SourceId]]
    models: dict[SourceId, DestinationId]


class RunKind(Kind[Run, RunPlan]):
    """The runs of the ``selected`` experiments, and others that versions need (``needed``) from ``homes``."""

    name: ClassVar[str] = "run"
    kept: ClassVar[tuple[str, ...]] = ("id",)

    def __init__(
        self,
        pair: Pair,
        copier: Copier,
        selected: Sequence[Experiment],
        homes: Sequence[Experiment],
        needed: Sequence[SourceId] = (),
        *,
        with_models: bool = False,
    ) -> None:
        self._pair = pair
        self._copier = copier
        self._deleted_experiments = {found.experiment_id for found in homes if found.deleted}
        self._experiments = [found.experiment_id for found in selected]
        self._everywhere = [found.experiment_id for found in homes]
        self._needed = dict.fromkeys(needed)
        self._with_models = with_models
        self._folders = RunFolders(pair.source)
        self._longest = lengths(pair.destination.capabilities)
        self._case = Case(pair.destination)
        #: Deleted experiments of the source, and whether that of the destination goes into the bin with all its runs.
        self._go_along: dict[SourceId, bool] = {}

    async def pages(self) -> AsyncIterator[Sequence[Run]]:
        for start in range(0, len(self._experiments), EXPERIMENTS_AT_ONCE):
            chunk = self._experiments[start : start + EXPERIMENTS_AT_ONCE]
            async for page in search_runs(self._pair.source, chunk, self._view, self._query):
                yield await self._listed(page)
        async for page in runs_by_id(self._pair.source, self._everywhere, list(self._needed)):
            yield await self._listed(page)

    async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Run]]:
        # Whatever became of them meanwhile: what was listed is moved.
        async for page in runs_by_id(self._pair.source, self._everywhere, ids):
            yield await self._listed(page)

    async def _listed(self, page: Sequence[Run]) -> Sequence[Run]:
        """Return runs with the logged models that they wrote, which an older server shows for one run at a time."""
        if self._with_models and not self._pair.source.capabilities.searches_outputs:
            page = [await get_run(self._pair.source, run.info.run_id) for run in page]
        return self._folders.page(page)

    @property
    def _view(self) -> str:
        return "ALL" if self._pair.settings.include_deleted else "ACTIVE_ONLY"

    @property
    def _query(self) -> str:
        settings = self._pair.settings
        bounds = ((">=", settings.run_start_time), ("<", settings.runs_until))
        return " and ".join(f"attributes.start_time {sign} {time}" for sign, time in bounds if time is not None)

    async def total(self) -> int | None:
        selected = await self._total()
        return None if selected is None else selected + len(self._needed)

    async def _total(self) -> int | None:
        """Find the number of selected runs with a few one-row searches; the number of the last time is tried first."""
        if len(self._experiments) > EXPERIMENTS_AT_ONCE or not self._experiments:
            return None if self._experiments else 0
        phases = await self._pair.ledger.in_thread(self._pair.ledger.phases)
        _, earlier, _ = phases.get(self.name, (0, None, 0.0))
        low, high = 0, max(earlier or 0, PAGE)
        if high > PAGE and await self._has_run_at(high - 1):
            low = high - 1
        while await self._has_run_at(high):
            low, high = high, high * 2
        if low == 0 and high <= PAGE:
            return None  # The first page tells.
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if await self._has_run_at(middle) else (low, middle)
        return high

    async def _has_run_at(self, offset: int) -> bool:
        body = {
            "experiment_ids": self._experiments,
            "run_view_type": self._view,
            "filter": self._query,
            "max_results": 1,
            "page_token": token_at(offset),
        }
        return bool((await self._pair.source.post("runs/search", body, RunPage)).runs)

    def made_from(self, value: Run) -> MadeFrom:
        return provenance_of(value.data.tags, SOURCE_TAG)

    async def drafts(self, values: Sequence[Run], *, final: bool) -> Sequence[Draft[RunPlan]]:
        ledger = self._pair.ledger
        # MLflow 1 leaves the runs of a file store as they are when it deletes their experiment.
        values = [run.put_into_bin() if run.info.experiment_id in self._deleted_experiments else run for run in values]
        experiments = await ledger.rows(ExperimentKind.name, {run.info.experiment_id for run in values})
        parents = await ledger.rows(self.name, {SourceId(parent) for run in values if (parent := run.tag(PARENT_TAG))})
        models = await ledger.rows(
            "logged_model", {link.model_id for run in values for link in run.outputs.model_outputs}
        )
        known = Known(experiments, parents, models, self._deleted_experiments)
        artifacts = self._pair.settings.artifacts
        drafts = [translated(run, known, self._longest, final=final, artifacts=artifacts) for run in values]
        return [draft.noted(FOR_A_VERSION) if draft.id in self._needed else draft for draft in drafts]

    async def details(self, drafts: Sequence[Draft[RunPlan]]) -> RunDetails:
        latest = {draft.id: draft.value.run.data.metrics for draft in drafts}
        links = await self._pair.ledger.links(latest)
        inputs: dict[SourceId, list[SourceId]] = {}

        async def read_inputs(run_id: SourceId) -> None:
            run = await get_run(self._pair.source, run_id)
            inputs[run_id] = [link.model_id for link in run.inputs.model_inputs]

        async with together() as tasks:
            if self._with_models:
                for draft in drafts:
                    tasks.start_soon(read_inputs, draft.id)
            found = await histories(self._pair.source, latest)
        wanted = {link.model_id for of_run in links.values() for link in of_run}
        wanted |= {model_id for of_run in inputs.values() for model_id in of_run}
        rows = await self._pair.ledger.rows("logged_model", wanted)
        models = {model_id: row.dst_id for model_id, row in rows.items() if row.dst_id is not None}
        return RunDetails(found, links, inputs, models)

    async def find(self, draft: Draft[RunPlan], mark: str) -> Placed | None:
        query = f"tags.`{MARKER_TAG}` = '{mark}'"
        body = {"experiment_ids": [draft.value.experiment], "run_view_type": "ALL", "filter": query, "max_results": 1}
        found = await self._pair.destination.post("runs/search", body, RunPage)
        return next((_placed(run) for run in found.runs), None)

    async def create(self, draft: Draft[RunPlan], mark: str) -> Placed:
        plan, info = draft.value, draft.value.run.info
        if plan.experiment is None:
            raise ObjectError("experiment not moved", f"The experiment {info.experiment_id} of this run was not moved.")
        if plan.in_deleted_experiment:
            await self._reopen(info.experiment_id)
        await self._check_case(draft)
        # The server writes the tag of the name by itself.
        tags = [tag for tag in plan.create_tags if tag.key != NAME_TAG]

        async def post(form: Form) -> tuple[OneRun, bool]:
            body = {
                "experiment_id": plan.experiment,
                "user_id": form.text(info.user_id, USER),
                "run_name": form.text(info.run_name, RUN_NAME),
                "start_time": info.start_time,
            }
            sent = [*form.tags(tags, self._longest.tag), *marks(mark, draft.digest)]
            destination, bare = self._pair.destination, form is Form.CUT or not plan.cuttable
            return await create(destination, "runs/create", body, OneRun, tags=sent, bare=bare, repeat=Repeat.ONCE)

        made, whole = await whole_or_cut(post, cuttable=plan.cuttable)
        return _placed(made.run)._replace(whole=whole)

    async def _check_case(self, draft: Draft[RunPlan]) -> None:
        data = draft.value.run.data
        await self._case.check("tags", (tag.key for tag in draft.value.create_tags))
        await self._case.check("params", (param.key for param in data.params))
        await self._case.check("metrics", (metric.key for metric in data.metrics))

    async def _reopen(self, experiment_id: SourceId) -> None:
        rows = await self._pair.ledger.rows(ExperimentKind.name, [experiment_id])
        await reopened(self._pair, list(rows.values()))

    async def fill(self, draft: Draft[RunPlan], row: Row, details: RunDetails, *, fresh: bool) -> Filled:
        plan, dst_id = draft.value, DestinationId(row.dst_id or "")
        existing = None if fresh else await self._revived(draft, dst_id)
        ids: dict[str, str] = {draft.id: dst_id, **{str(old): new for old, new in details.models.items()}}
        own = [own_ids(tag, ids) for tag in plan.run.data.tags if tag.key in OWN_ID_TAGS]
        tags = [*plan.late_tags, *own]
        if existing is not None:
            await self._check_case(draft)
            mark = marker(self._pair.source.identity, self.name, draft.id)
            content = row.digest if _changed(draft, row) else draft.digest
            tags = [*plan.create_tags, *tags, *marks(mark, content)]
            await self._rename(dst_id, plan.run, existing)
            for key in gone_tags(row.written, tags, existing.data.tags):
                await self._pair.destination.remove("POST", "runs/delete-tag", {"run_id": dst_id, "key": key})
            tags = missing((tag for tag in tags if tag.key != NAME_TAG), existing.data.tags, self._longest.tag)
        left = await write_data(
            self._pair.destination,
            dst_id,
            self._longest,
            params=plan.run.data.params,
            tags=tags,
            points=details.histories.of(draft.id),
            links=details.links.get(draft.id, ()),
            models=details.models,
        )
        lost = await self._write_links(draft, dst_id, details, existing)
        copied = await self._copy(draft, row)
        return Filled(copied.bytes, copied.remarks, (*left, *lost, *copied.left))

    async def _revived(self, draft: Draft[RunPlan], dst_id: DestinationId) -> Run:
        """Return the run as it stands at the destination, taken out of the bin so that it can be written."""
        if draft.value.in_deleted_experiment:
            await self._reopen(draft.value.run.info.experiment_id)
        existing = await get_run(self._pair.destination, dst_id)
        if existing.deleted:
            await self._pair.destination.send("POST", "runs/restore", {"run_id": dst_id})
        return existing

    async def _rename(self, dst_id: DestinationId, run: Run, existing: Run) -> None:
        """Give a run its name, if it has another. As a tag in a batch the name would stall the server.

        There the server asks for a fourth database connection while it holds three, so four such calls at once wait for
        each other for 30 s (MLflow 3.17.2, ``SqlAlchemyStore._set_tags``).
        """
        name = run.info.run_name
        if not name or existing.info.run_name in (name, cut(name, RUN_NAME)):
            return

        async def post(form: Form) -> None:
            body = {"run_id": dst_id, "run_name": form.text(name, RUN_NAME), "status": existing.info.status}
            await self._pair.destination.send("POST", "runs/update", body)

        await whole_or_cut(post, cuttable=True)

    async def _write_links(
        self, draft: Draft[RunPlan], dst_id: DestinationId, details: RunDetails, existing: Run | None
    ) -> list[LeftBehind]:
        """Link the run with its datasets and logged models; return what is not there, or too large."""
        plan, wanted = draft.value, details.inputs.get(draft.id, [])
        inputs = [details.models[model_id] for model_id in wanted if model_id in details.models]
        lost = [model_id for model_id in wanted if model_id not in details.models]
        datasets = plan.run.inputs.dataset_inputs
        destination, cuttable = self._pair.destination, plan.cuttable
        left = await write_inputs(destination, dst_id, self._longest, datasets, inputs, cuttable=cuttable)
        there = {link.model_id for link in existing.outputs.model_outputs} if existing else set()
        outputs = [(model, step) for model, step in plan.outputs if SourceId(model) not in there]
        left += await write_outputs(destination, dst_id, outputs)
        return [*left, *map(unmoved_input, lost)]

    async def _copy(self, draft: Draft[RunPlan], row: Row) -> Filled:
        run = draft.value.run
        if not self._pair.settings.artifacts or not await self._folders.may_have_artifacts(run):
            return Filled()
        source = Root(run.info.artifact_uri, run_id=draft.id)
        destination = Root(row.dst_location, run_id=row.dst_id)
        return await copy_files(self._pair, self._copier, source, destination, {draft.id: row.dst_id or ""})

    async def seal(self, draft: Draft[RunPlan], row: Row) -> None:
        info, destination = draft.value.run.info, self._pair.destination
        if info.status != "RUNNING" or info.end_time is not None:
            end = {} if info.end_time is None else {"end_time": info.end_time}
            await destination.send("POST", "runs/update", {"run_id": row.dst_id, "status": info.status, **end})
        if _changed(draft, row):
            body = {"run_id": row.dst_id, "key": DIGEST_TAG, "value": draft.digest}
            await destination.send("POST", "runs/set-tag", body)
        if draft.value.run.deleted and not await self._goes_along(draft.value):
            await destination.send("POST", "runs/delete", {"run_id": row.dst_id})

    async def _goes_along(self, plan: RunPlan) -> bool:
        """Return whether a run goes into the bin with its experiment: not with one that was joined, such as Default."""
        src_id = plan.run.info.experiment_id
        if not plan.in_deleted_experiment or plan.experiment is None:
            return False
        if src_id not in self._go_along:
            found = await experiment(self._pair.destination, plan.experiment)
            self._go_along[src_id] = created_for(self._pair, found, src_id)
        return self._go_along[src_id]

    def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        return BroughtRuns(self._pair).recovered()

    def remnants(self) -> AsyncIterator[Sequence[Remnant]]:
        return BroughtRuns(self._pair).half_swept()

    async def discard(self, dst_id: DestinationId) -> None:
        await BroughtRuns(self._pair).take_away(dst_id)

    async def estimate(self, drafts: Sequence[Draft[RunPlan]]) -> Estimate:
        latest = {draft.id: draft.value.run.data.metrics for draft in drafts}
        reads = expected_requests(self._pair.source, latest) + (len(drafts) if self._with_models else 0)
        before = self._folders.requests
        estimate = Estimate(reads)
        for draft in drafts:
            estimate = estimate.plus(Estimate(0, writes(draft.value)))
            run = draft.value.run
            if self._pair.settings.artifacts and await self._folders.may_have_artifacts(run):
                estimate = estimate.plus(await count_files(self._pair, Root(run.info.artifact_uri, run_id=draft.id)))
        return estimate.plus(Estimate(self._folders.requests - before))


def _changed(draft: Draft[RunPlan], row: Row) -> bool:
    """Return whether the run was sealed before with other content: then it bears the new digest only at the end."""
    return bool(row.digest) and not draft.is_content(row.digest)


def _placed(run: Run) -> Placed:
    return Placed(DestinationId(run.info.run_id), run.info.artifact_uri)
