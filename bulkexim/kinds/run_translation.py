"""A run of the source, translated to what should stand at the destination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.base import Draft, Remark
from bulkexim.kinds.history import points_of
from bulkexim.kinds.run_values import ENDED, NAME_TAG, OWN_ID_TAGS, PARENT_TAG, Run, RunPlan
from bulkexim.kinds.run_writes import BATCH, PARAMS
from bulkexim.kinds.wire import (
    PARAM_LIMIT,
    TAG_LIMIT,
    Tag,
    content_digest,
    earlier_digest,
    kept_whole,
    key_list,
    provenance,
    unordered,
    users_tags,
)
from bulkexim.ledger.schema import Row

Rows = Mapping[SourceId, Row]

#: Ends the digest of a deleted run: one that bears it and is not deleted was left before its seal was whole.
DELETED = "-deleted"


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of the objects to which some runs refer, by source id."""

    experiments: Rows
    parents: Rows
    models: Rows
    deleted_experiments: frozenset[SourceId] | set[SourceId]


def translated(run: Run, known: Known, *, final: bool, artifacts: bool) -> Draft[RunPlan]:
    """Return a run with the ids of the destination; when ``final``, a parent that is not there will not come."""
    info = run.info
    tags, remarks = _tags(run)
    kept: dict[str, object] = {"run_id": info.run_id, "experiment_id": info.experiment_id}
    if not info.run_name:
        remarks.append(Remark("empty run name", "the destination made one up"))
    outputs, lost = _mapped(run, known.models)
    late, waits = _parent(run, known.parents, final=final)
    if lost:
        # Not with the create call: a run may be created before the logged models that it wrote.
        late += provenance({"model_outputs": " ".join(lost)[:TAG_LIMIT]})
        remarks.append(Remark("logged model output not there", ", ".join(lost)))
    if final and run.tag(PARENT_TAG) and not any(tag.key == PARENT_TAG for tag in late):
        remarks.append(Remark("parent run not there", f"{run.tag(PARENT_TAG)}, kept as a tag"))
    experiment = known.experiments.get(info.experiment_id)
    plan = RunPlan(
        run=run,
        experiment=experiment.dst_id if experiment else None,
        in_deleted_experiment=info.experiment_id in known.deleted_experiments,
        create_tags=(*tags, *provenance(kept)),
        late_tags=tuple(late),
        outputs=tuple(outputs),
    )
    return Draft(
        id=info.run_id,
        name=info.run_name,
        value=plan,
        digest=_digest(plan, artifacts=artifacts) + DELETED * run.deleted,
        earlier=partial(_earlier_digest, plan, artifacts=artifacts),
        src_location=info.artifact_uri,
        waits=waits,
        growing=info.status not in ENDED,
        remarks=tuple(remarks),
        written=key_list(tag.key for tag in users_tags(run.data.tags)),
    )


def _digest(plan: RunPlan, *, artifacts: bool) -> str:
    run, inputs = plan.run, [_unordered_dataset(given) for given in plan.run.inputs.dataset_inputs]
    rows = (run.data.metrics, run.data.params, run.data.tags, inputs, run.inputs.model_inputs, plan.outputs)
    return content_digest(run.info, *map(unordered, rows), plan.create_tags, plan.late_tags, artifacts)


def _unordered_dataset(given: Mapping[str, Any]) -> dict[str, Any]:
    return {**given, "tags": unordered(given.get("tags", ()))}


def _earlier_digest(plan: RunPlan, *, artifacts: bool) -> str:
    run = plan.run
    parts = (run.info, run.data, run.inputs, plan.outputs, plan.create_tags, plan.late_tags, artifacts)
    return earlier_digest(*parts) + DELETED * run.deleted


def _parent(run: Run, parents: Rows, *, final: bool) -> tuple[list[Tag], SourceId | None]:
    """Return the tag that names the parent, or keeps its old id, and the parent if it may still come."""
    old = SourceId(run.tag(PARENT_TAG))
    row = parents.get(old)
    if row is not None and row.dst_id is not None:
        return [Tag(PARENT_TAG, row.dst_id)], None
    if old and final:
        return provenance({"parent_run_id": old}), None
    return [], old or None


def _tags(run: Run) -> tuple[list[Tag], list[Remark]]:
    """Return the tags for the create call, and remarks on values that MLflow would cut."""
    tags: list[Tag] = []
    remarks: list[Remark] = []
    for tag in users_tags(run.data.tags):
        if tag.key == PARENT_TAG or (tag.key in OWN_ID_TAGS and len(tag.value) <= TAG_LIMIT):
            continue
        if tag.key == NAME_TAG and tag.value != run.info.run_name:
            remarks.append(Remark("two run names", f"tag {NAME_TAG} = {tag.value!r}; the run's own name was kept"))
            continue
        extra, remark = kept_whole("tag", tag.key, tag.value, TAG_LIMIT)
        # Half of a tag that holds JSON helps nobody; of a text, it does.
        tags += extra if tag.key in OWN_ID_TAGS else [Tag(tag.key, tag.value[:TAG_LIMIT]), *extra]
        remarks += remark
    for param in run.data.params:
        extra, remark = kept_whole("param", param.key, param.value, PARAM_LIMIT)
        tags += extra
        remarks += remark
    return tags, remarks


def _mapped(run: Run, models: Rows) -> tuple[list[tuple[DestinationId, int]], list[str]]:
    outputs: list[tuple[DestinationId, int]] = []
    lost: list[str] = []
    for link in run.outputs.model_outputs:
        row = models.get(link.model_id)
        if row is not None and row.dst_id is not None:
            outputs.append((row.dst_id, link.step))
        else:
            lost.append(link.model_id)
    return outputs, lost


def writes(plan: RunPlan) -> int:
    """Return how many calls a run takes at the destination, its artifacts apart."""
    run = plan.run
    params, points = len(run.data.params), points_of(run.data.metrics)
    late = bool(plan.late_tags) or any(tag.key in OWN_ID_TAGS for tag in run.data.tags)
    batches = max(-(-params // PARAMS), -(-(params + points) // BATCH), late)
    links = bool(run.inputs.dataset_inputs) + bool(plan.outputs)
    end = run.info.status != "RUNNING" or run.info.end_time is not None
    return 1 + batches + links + end + (run.deleted and not plan.in_deleted_experiment)
