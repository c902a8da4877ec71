"""Logged models (MLflow 3): created after the runs they came from, before the runs that measured them are filled.

Their metrics are part of the metric stream of a run; the links are kept in the ledger until that run is filled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from bulkexim.artifacts.copier import Copier
from bulkexim.ends.bodies import Item
from bulkexim.errors import ObjectError, RacingDuplicate
from bulkexim.http.retry import Repeat
from bulkexim.ids import MARKER_TAG, SWEPT_TAG, DestinationId, MadeFrom, SourceId, marker
from bulkexim.kinds.base import FOR_A_VERSION, Draft, Estimate, Filled, Kind, Placed, Recovered, Remark, Remnant
from bulkexim.kinds.case import Case
from bulkexim.kinds.columns import (
    LOGGED_MODEL_KEY,
    LOGGED_MODEL_NAME,
    LOGGED_MODEL_TYPE,
    TEXT,
    Form,
    Text,
    copies,
    told,
    unfit,
    unfit_tags,
    whole_or_cut,
)
from bulkexim.kinds.experiment import Experiment, ExperimentKind, reopened
from bulkexim.kinds.files import Root, copy_files, count_files
from bulkexim.kinds.logged_model_values import (
    EXPERIMENTS_AT_ONCE,
    LoggedModel,
    OneModel,
    every_logged_model,
    get_logged_model,
    logged_models,
    model_path,
    models_by_id,
    models_of_versions,
)
from bulkexim.kinds.model_points import links, measuring, unlinked_runs
from bulkexim.kinds.run_translation import DELETED
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.sizes import create, refused
from bulkexim.kinds.version_values import ModelVersion, came_from
from bulkexim.kinds.wire import (
    Tag,
    as_dicts,
    content_digest,
    earlier_digest,
    fitting,
    gone_tags,
    key_list,
    marks,
    own_keys,
    provenance,
    provenance_of,
    tag_value,
    unordered,
    users_tags,
)
from bulkexim.ledger.schema import Row
from bulkexim.left_behind import Cause, LeftBehind

#: Characters of a piece of what is kept whole in tags.
PIECE = 8000
SOURCE_TAG = "bulkexim.source.model_id"
#: Written by the destination itself when a version is registered (``mlflow.modelVersions``).
REGENERATED = frozenset({"mlflow.modelVersions"})
READY, FAILED = "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED"


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A logged model translated; ``cuttable`` says that something of its text may be more than a database takes."""

    model: LoggedModel
    experiment: DestinationId | None
    run: DestinationId | None
    tags: tuple[Tag, ...]
    cuttable: bool = False


class LoggedModelKind(Kind[LoggedModel, ModelPlan]):
    """Those of the ``selected`` experiments, and others that versions need (``needed``) from ``homes``."""

    name: ClassVar[str] = "logged_model"
    kept: ClassVar[tuple[str, ...]] = ("id", "creation time", "creator")

    def __init__(
        self,
        pair: Pair,
        copier: Copier,
        selected: Sequence[Experiment],
        homes: Sequence[Experiment],
        needed: Sequence[SourceId] = (),
    ) -> None:
        self._pair = pair
        self._copier = copier
        self._experiments = [found.experiment_id for found in selected]
        self._homes = [found.experiment_id for found in homes]
        self._deleted_experiments = {found.experiment_id for found in homes if found.deleted}
        self._needed = dict.fromkeys(needed)
        self._case = Case(pair.destination)

    async def pages(self) -> AsyncIterator[Sequence[LoggedModel]]:
        source, deleted = self._pair.source, self._pair.settings.include_deleted
        named = await models_of_versions(source) if deleted and self._experiments else set()
        async for page in every_logged_model(source, self._experiments, deleted=deleted, named=named):
            yield page
        async for page in self.again(list(self._needed)):
            yield page

    async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[LoggedModel]]:
        async for page in models_by_id(self._pair.source, self._homes, ids):
            yield page

    def made_from(self, value: LoggedModel) -> MadeFrom:
        return provenance_of(value.info.tags, SOURCE_TAG)

    async def drafts(self, values: Sequence[LoggedModel], *, final: bool) -> Sequence[Draft[ModelPlan]]:
        del final
        ledger = self._pair.ledger
        experiments = await ledger.rows(ExperimentKind.name, {model.info.experiment_id for model in values})
        runs = await ledger.rows("run", {model.info.source_run_id for model in values if model.info.source_run_id})
        drafts = [self._draft(model, experiments, runs) for model in values]
        return [draft.noted(FOR_A_VERSION) if draft.id in self._needed else draft for draft in drafts]

    def _draft(
        self, model: LoggedModel, experiments: dict[SourceId, Row], runs: dict[SourceId, Row]
    ) -> Draft[ModelPlan]:
        info = model.info
        tags = [tag for tag in users_tags(info.tags) if tag.key not in REGENERATED]
        fields = Text("name", info.name, LOGGED_MODEL_NAME), Text("model type", info.model_type, LOGGED_MODEL_TYPE)
        texts = [
            *unfit(*fields),
            *unfit_tags(tags, TEXT, key_limit=LOGGED_MODEL_KEY),
            *unfit_tags(model.data.params, TEXT, what="param", key_limit=LOGGED_MODEL_KEY),
        ]
        kept_whole = copies(texts, PIECE)
        remarks = told(texts)
        kept: dict[str, object] = {
            "model_id": info.model_id,
            "creation_timestamp": info.creation_timestamp_ms,
            "status_message": info.status_message,
            "creator_id": info.creator_id,
        }
        run = runs.get(info.source_run_id)
        if info.source_run_id and (run is None or run.dst_id is None):
            kept["run_id"] = info.source_run_id
            remarks.append(Remark("source run of a logged model not there", f"{info.source_run_id}, kept as a tag"))
        experiment, artifacts = experiments.get(info.experiment_id), self._pair.settings.artifacts
        plan = ModelPlan(
            model=model,
            experiment=experiment.dst_id if experiment else None,
            run=run.dst_id if run else None,
            tags=(*tags, *provenance(kept), *kept_whole),
            cuttable=bool(texts),
        )
        return Draft(
            id=info.model_id,
            name=info.name,
            value=plan,
            digest=_digest(plan, artifacts=artifacts) + DELETED * model.deleted,
            earlier=partial(earlier_digest, info, model.data, model.deleted, plan.run, plan.tags, artifacts),
            src_location=info.artifact_uri,
            growing=info.status not in (READY, FAILED) and not self._is_in_bin(model),
            remarks=tuple(remarks),
            written=key_list(tag.key for tag in (*tags, *kept_whole)),
            # MLflow registers no version of a deleted one.
            last=model.deleted,
        )

    def _is_in_bin(self, model: LoggedModel) -> bool:
        return model.deleted or model.info.experiment_id in self._deleted_experiments

    async def find(self, draft: Draft[ModelPlan], mark: str) -> Placed | None:
        if draft.value.experiment is None:
            return None
        query = f"tags.`{MARKER_TAG}` = '{mark}'"
        async for page in logged_models(self._pair.destination, [draft.value.experiment], query, page=1):
            for model in page:
                return _placed(model)
        return None

    async def create(self, draft: Draft[ModelPlan], mark: str) -> Placed:
        plan, info = draft.value, draft.value.model.info
        if plan.experiment is None:
            raise ObjectError(
                "experiment not moved", f"The experiment {info.experiment_id} of this model was not moved."
            )
        await self._case.check("tags", (tag.key for tag in plan.tags))
        await self._case.check("params", (param.key for param in plan.model.data.params))
        if info.experiment_id in self._deleted_experiments:
            rows = await self._pair.ledger.rows(ExperimentKind.name, [info.experiment_id])
            await reopened(self._pair, list(rows.values()))

        async def post(form: Form) -> tuple[OneModel, bool]:
            body = {
                "experiment_id": plan.experiment,
                "name": form.text(info.name, LOGGED_MODEL_NAME),
                "model_type": form.text(info.model_type, LOGGED_MODEL_TYPE),
                "source_run_id": plan.run,
            }
            tags = _sent([*plan.tags, *marks(mark, draft.digest)], form)
            params, destination = _sent(plan.model.data.params, form), self._pair.destination
            bare, once = form is Form.CUT or not plan.cuttable, Repeat.ONCE
            return await create(
                destination, "logged-models", body, OneModel, tags=tags, params=params, bare=bare, repeat=once
            )

        made, whole = await whole_or_cut(post, cuttable=plan.cuttable)
        return _placed(made.model)._replace(whole=whole)

    async def fill(self, draft: Draft[ModelPlan], row: Row, details: Any, *, fresh: bool) -> Filled:
        plan = draft.value
        info = plan.model.info
        await self._pair.ledger.linked(links(plan.model))
        left: list[LeftBehind] = []
        if fresh:
            await self._pair.ledger.outdated("run", measuring(plan.model))
        else:
            existing = await get_logged_model(self._pair.destination, row.dst_id or "")
            unlinked = _unlinked(plan, existing)
            if existing.deleted:
                before = (await self._left_alone(draft)).left
                return Filled(left=tuple(dict.fromkeys((*before, *unlinked))))
            rows = await self._pair.ledger.rows("run", measuring(plan.model))
            await self._pair.ledger.outdated("run", unlinked_runs(plan.model, existing, rows))
            left = [*await self._refresh(draft, row, existing), *unlinked]
        source = Root(info.artifact_uri, model_id=draft.id, gone=plan.model.deleted)
        if not self._pair.settings.artifacts:
            return Filled(left=tuple(left))
        ids = {draft.id: row.dst_id or ""} | ({info.source_run_id: plan.run} if plan.run else {})
        destination = Root(row.dst_location, model_id=row.dst_id)
        copied = await copy_files(self._pair, self._copier, source, destination, ids)
        return copied._replace(left=(*left, *copied.left))

    async def _left_alone(self, draft: Draft[ModelPlan]) -> Filled:
        """Accept that a model is deleted at the destination, and so is as it can be: nothing can restore it."""
        if not draft.value.model.deleted:
            raise ObjectError("gone at the destination", f"Logged model {draft.name!r} was deleted at the destination.")
        before = await self._pair.ledger.left_behind(self.name, [draft.id])
        return Filled(left=tuple(left for left in before.get(draft.id, ()) if left not in draft.left))

    async def _refresh(self, draft: Draft[ModelPlan], row: Row, existing: LoggedModel) -> list[LeftBehind]:
        """Write tags and params that are not there as they should be; return those that are too large."""
        destination, plan, path = self._pair.destination, draft.value, model_path(row.dst_id)
        mark = marker(self._pair.source.identity, self.name, draft.id)
        tags = [*plan.tags, *marks(mark, draft.digest)]
        left = await self._write(row, "tags", tags, cuttable=plan.cuttable)
        for key in gone_tags(row.written, plan.tags, existing.info.tags):
            await destination.remove("DELETE", f"{path}/tags/{quote(key, safe='')}", None)
        missing = _missing(plan.model.data.params, existing)
        return left + await self._write(row, "params", missing, cuttable=plan.cuttable)

    async def _write(self, row: Row, field: str, rows: Sequence[Tag], *, cuttable: bool) -> list[LeftBehind]:
        destination, path = self._pair.destination, f"{model_path(row.dst_id)}/{field}"
        # A param is added once; a tag may be set again.
        method, repeat = ("POST", Repeat.TELLING) if field == "params" else ("PATCH", Repeat.SAFE)

        async def send(items: Sequence[Item]) -> None:
            values = [value for _, value in items]

            async def post(form: Form) -> None:
                await destination.send(method, path, {"model_id": row.dst_id, field: _sent(values, form)}, repeat)

            try:
                await whole_or_cut(post, cuttable=cuttable)
            except RacingDuplicate:
                # An earlier call, whose reply was lost, may have written them.
                if field == "tags" or _missing(values, await get_logged_model(destination, row.dst_id or "")):
                    raise

        return refused(await destination.bodies.sent([(field, one) for one in rows], send))

    async def seal(self, draft: Draft[ModelPlan], row: Row) -> None:
        status = draft.value.model.info.status
        path = model_path(row.dst_id)
        if draft.value.model.deleted and (await get_logged_model(self._pair.destination, row.dst_id or "")).deleted:
            return
        if status in (READY, FAILED):
            await self._pair.destination.send("PATCH", path, {"model_id": row.dst_id, "status": status})
        if draft.value.model.deleted:
            await self._pair.destination.remove("DELETE", path, None)

    async def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        known = await self._pair.ledger.placed(ExperimentKind.name)
        deleted = self._pair.settings.include_deleted
        # No search shows a deleted one, but the versions for which it was brought name it.
        named = await models_of_versions(self._pair.destination, self._is_ours)
        async for page in every_logged_model(self._pair.destination, known, deleted=deleted, named=named):
            yield [found for model in page if (found := self._recovered(model)) is not None]

    def _is_ours(self, version: ModelVersion) -> bool:
        return came_from(version, self._pair.source.identity) is not None

    def _recovered(self, model: LoggedModel) -> Recovered | None:
        info = model.info
        src_id = SourceId(tag_value(info.tags, SOURCE_TAG))
        if tag_value(info.tags, MARKER_TAG) != marker(self._pair.source.identity, self.name, src_id):
            return None
        complete, dst_id = info.status in (READY, FAILED), DestinationId(info.model_id)
        # Without a digest the model is filled again, and with it the links of its metrics come back.
        return Recovered(src_id, info.name, dst_id, info.artifact_uri, "", complete, removable=not model.deleted)

    async def remnants(self) -> AsyncIterator[Sequence[Remnant]]:
        known = await self._pair.ledger.placed(ExperimentKind.name)
        for start in range(0, len(known), EXPERIMENTS_AT_ONCE):
            chunk = known[start : start + EXPERIMENTS_AT_ONCE]
            async for page in logged_models(self._pair.destination, chunk, f"tags.`{SWEPT_TAG}` LIKE '%'"):
                detail = "a sweep was interrupted here"
                yield [Remnant(DestinationId(one.info.model_id), one.info.name, detail) for one in page]

    async def discard(self, dst_id: DestinationId) -> None:
        destination, path = self._pair.destination, model_path(dst_id)
        found = await get_logged_model(destination, dst_id)
        if found.deleted:
            raise ObjectError("not removable", f"Logged model {found.info.name!r} ({dst_id}) is in the bin already.")
        # MLflow only puts a model into the bin, so nothing must show there from what it came. The one tag comes first:
        # by it the next sweep goes on where this one was interrupted.
        if mark := tag_value(found.info.tags, MARKER_TAG):
            body = {"model_id": dst_id, "tags": as_dicts([Tag(SWEPT_TAG, mark)])}
            await destination.send("PATCH", f"{path}/tags", body)
        for key in own_keys(found.info.tags):
            await destination.remove("DELETE", f"{path}/tags/{quote(key, safe='')}", None)
        await destination.remove("DELETE", path, None)

    async def estimate(self, drafts: Sequence[Draft[ModelPlan]]) -> Estimate:
        estimate = Estimate()
        for draft in drafts:
            info = draft.value.model.info
            deleted = 2 * draft.value.model.deleted  # It is read again, and then deleted, at the end.
            estimate = estimate.plus(Estimate(deleted, 1 + (info.status in (READY, FAILED)) + deleted))
            if self._pair.settings.artifacts:
                estimate = estimate.plus(await count_files(self._pair, Root(info.artifact_uri, model_id=draft.id)))
        return estimate


def _missing(params: Sequence[Tag], existing: LoggedModel) -> list[Tag]:
    """Return the params that a logged model of the destination does not have."""
    held = {param.key for param in existing.data.params}
    return [param for param in params if not {param.key, fitting(param.key, LOGGED_MODEL_KEY)} & held]


def _sent(rows: Sequence[Tag], form: Form) -> Sequence[Tag]:
    """Return tags or params as a logged model takes them."""
    return form.tags(rows, TEXT, key_limit=LOGGED_MODEL_KEY)


def _digest(plan: ModelPlan, *, artifacts: bool) -> str:
    model = plan.model
    # The tags of the plan are those of the source, without what the destination writes by itself.
    info = msgspec.structs.replace(model.info, tags=())
    params, metrics = unordered(model.data.params), unordered(model.data.metrics)
    return content_digest(info, params, metrics, model.deleted, plan.run, unordered(plan.tags), artifacts)


def _unlinked(plan: ModelPlan, existing: LoggedModel) -> list[LeftBehind]:
    """Return the link with the source run where that came later: MLflow makes it with the logged model, or never."""
    if not plan.run or str(existing.info.source_run_id) == plan.run:
        return []
    return [LeftBehind(Cause.LINK, f"source run {plan.model.info.source_run_id}: it came after this logged model")]


def _placed(model: LoggedModel) -> Placed:
    return Placed(DestinationId(model.info.model_id), model.info.artifact_uri)
