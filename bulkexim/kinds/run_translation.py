"""A run of the source, translated to what should stand at the destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bulkexim.ends.bodies import MOST
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.base import Draft, Remark
from bulkexim.kinds.columns import (
    INPUT_TAG,
    INPUT_TAG_KEY,
    RUN_NAME,
    USER,
    Lengths,
    Text,
    copies,
    dataset_lengths,
    is_copy,
    told,
    unfit,
    unfit_tags,
)
from bulkexim.kinds.history import points_of
from bulkexim.kinds.run_values import ENDED, NAME_TAG, OWN_ID_TAGS, PARENT_TAG, Run, RunPlan
from bulkexim.kinds.run_writes import BATCH, PARAMS
from bulkexim.kinds.wire import (
    Tag,
    by_key,
    content_digest,
    earlier_digest,
    key_list,
    provenance,
    unordered,
    users_tags,
)
from bulkexim.ledger.schema import Row

Rows = Mapping[SourceId, Row]

#: Ends the digest of what is deleted: one that bears it and is not deleted was left before its seal was whole.
DELETED = "-deleted"


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of the objects to which some runs refer, by source id."""

    experiments: Rows
    parents: Rows
    models: Rows
    deleted_experiments: frozenset[SourceId] | set[SourceId]


def translated(run: Run, known: Known, longest: Lengths, *, final: bool, artifacts: bool) -> Draft[RunPlan]:
    """Return a run with the ids of the destination; when ``final``, a parent that is not there will not come.

    ``longest`` are the lengths that the destination takes.
    """
    info = run.info
    carried = users_tags(run.data.tags)
    tags, texts = _tags(run, carried, longest)
    tags += provenance({"run_id": info.run_id, "experiment_id": info.experiment_id})
    others = _other_texts(run, longest)
    tags += copies(others, longest.tag)
    texts += others
    remarks = told(texts)
    if (tag := run.tag(NAME_TAG)) and tag != info.run_name:
        remarks.append(Remark("two run names", f"{tag!r} in tag {NAME_TAG}; kept as a tag"))
    if not info.run_name:
        remarks.append(Remark("empty run name", "the destination made one up"))
    outputs, lost = _mapped(run, known.models)
    late, waits = _parent(run, known.parents, final=final)
    if lost:
        # Not with the create call: a run may be created before the logged models that it wrote.
        late += provenance({"model_outputs": " ".join(lost)[: longest.tag]})
        remarks.append(Remark("logged model output not there", ", ".join(lost)))
    if final and run.tag(PARENT_TAG) and not any(tag.key == PARENT_TAG for tag in late):
        remarks.append(Remark("parent run not there", f"{run.tag(PARENT_TAG)}, kept as a tag"))
    experiment = known.experiments.get(info.experiment_id)
    plan = RunPlan(
        run=run,
        experiment=experiment.dst_id if experiment else None,
        in_deleted_experiment=info.experiment_id in known.deleted_experiments,
        create_tags=tuple(tags),
        late_tags=tuple(late),
        outputs=tuple(outputs),
        cuttable=bool(texts),
    )
    return Draft(
        id=info.run_id,
        name=info.run_name,
        value=plan,
        digest=_digest(plan, artifacts=artifacts) + DELETED * run.deleted,
        earlier=partial(_earlier_digest, plan, artifacts=artifacts),
        src_location=info.artifact_uri,
        waits=waits,
        # To a deleted run MLflow adds nothing.
        growing=info.status not in ENDED and not run.deleted,
        remarks=tuple(remarks),
        written=key_list([tag.key for tag in carried] + [tag.key for tag in tags if texts and is_copy(tag)]),
    )


def _digest(plan: RunPlan, *, artifacts: bool) -> str:
    run, inputs = plan.run, [_unordered_dataset(given) for given in plan.run.inputs.dataset_inputs]
    rows = map(by_key, (run.data.metrics, run.data.params, run.data.tags))
    links = map(unordered, (inputs, run.inputs.model_inputs, plan.outputs))
    return content_digest(run.info, *rows, *links, plan.create_tags, plan.late_tags, artifacts)


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


def _tags(run: Run, carried: Sequence[Tag], longest: Lengths) -> tuple[list[Tag], list[Text]]:
    """Return the tags for the create call, each with the copies of what MLflow cuts, and the texts that may be cut."""
    tags: list[Tag] = []
    texts: list[Text] = []
    some_long = bool(unfit_tags(carried, longest.tag))
    for tag in carried:
        if tag.key == PARENT_TAG or (tag.key in OWN_ID_TAGS and len(tag.value) <= longest.tag):
            continue
        if tag.key == NAME_TAG:
            own_name = tag.value == run.info.run_name
            tags += [tag] if own_name else provenance({"run_name_tag": tag.value[: longest.tag]})
            continue
        own = unfit_tags([tag], longest.tag) if some_long else []
        # Half of a tag that holds JSON helps nobody; of a text, it does.
        if tag.key not in OWN_ID_TAGS:
            tags.append(Tag(tag.key, tag.value[: longest.tag]) if own else tag)
        tags += copies(own, longest.tag)
        texts += own
    long_params = unfit_tags(run.data.params, longest.param, what="param")
    return [*tags, *copies(long_params, longest.tag)], [*texts, *long_params]


def _other_texts(run: Run, longest: Lengths) -> list[Text]:
    texts = unfit(Text("run name", run.info.run_name, RUN_NAME), Text("user", run.info.user_id, USER))
    for given in run.inputs.dataset_inputs:
        dataset = given.get("dataset", {})
        name = str(dataset.get("name", ""))
        fields = (
            Text(f"dataset {field}", str(dataset.get(field, "")), limit, name)
            for field, limit in dataset_lengths(longest)
        )
        texts += unfit(*fields)
        tags = [Tag(str(tag.get("key", "")), str(tag.get("value", ""))) for tag in given.get("tags", ())]
        texts += unfit_tags(tags, INPUT_TAG, what="input tag", key_limit=INPUT_TAG_KEY)
    return texts


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
    size = sum(len(param.value) for param in run.data.params)
    batches = max(-(-params // PARAMS), -(-(params + points) // BATCH), -(-size // MOST), late)
    links = bool(run.inputs.dataset_inputs) + bool(plan.outputs)
    end = run.info.status != "RUNNING" or run.info.end_time is not None
    return 1 + batches + links + end + (run.deleted and not plan.in_deleted_experiment)
