"""What links a run to datasets and logged models, as facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bulkexim.kinds.compare.base import Facts, Partners
from bulkexim.kinds.compare.records import ModelLink, Run

#: Characters of a tag that MLflow takes.
LONGEST_TAG = 8000


def datasets(run: Run) -> Facts:
    """Return datasets by name and digest; one that is there twice is told apart, whatever the order of the server."""
    found: dict[str, Facts] = {}
    for label, facts in sorted(map(_dataset, run.inputs.dataset_inputs), key=repr):
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


def without_partner(links: Sequence[ModelLink], partners: Partners) -> str:
    """Return the ids of logged models that are not at the destination, as a tag keeps them."""
    return " ".join(one.model_id for one in links if not partners.find("logged_model", one.model_id))[:LONGEST_TAG]


def models(run: Run, found: Run, partners: Partners) -> tuple[Facts, Facts]:
    """Return the logged models that two runs read and wrote, by their ids at the destination.

    Those of the source that are not there are kept in a tag (`without_partner`). Two of the destination that came from
    one count as one, for MLflow takes no link away.
    """
    origins = partners.origins("logged_model")

    def wanted(links: Sequence[ModelLink]) -> dict[str, str]:
        there = ((partners.find("logged_model", one.model_id), one.step) for one in links)
        return {model_id: f"step {step}" for model_id, step in there if model_id}

    def there(links: Sequence[ModelLink]) -> dict[str, str]:
        ids = [partners.find("logged_model", origins.get(one.model_id, "")) or one.model_id for one in links]
        return {model_id: f"step {one.step}" for model_id, one in zip(ids, links, strict=True)}

    return (
        {"model inputs": wanted(run.inputs.model_inputs), "model outputs": wanted(run.outputs.model_outputs)},
        {"model inputs": there(found.inputs.model_inputs), "model outputs": there(found.outputs.model_outputs)},
    )
