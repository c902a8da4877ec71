"""What links a run to datasets and logged models, as facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.base import Facts, Partners
from bulkexim.kinds.compare.cut import copied, fitting, uncut
from bulkexim.kinds.compare.records import ModelLink, Run

#: Characters of a tag that MLflow takes.
LONGEST_TAG = 8000


def datasets(run: Run, texts: Collection[str] = ()) -> Facts:
    """Return datasets by name and digest; one that is there twice is told apart, whatever the order of the server.

    What was cut from one of ``texts`` stands for it.
    """
    found: dict[str, Facts] = {}
    for label, facts in sorted((_dataset(one, texts) for one in run.inputs.dataset_inputs), key=repr):
        free = label
        while free in found:
            free += " again"
        found[free] = facts
    return found


def dataset_texts(run: Run, tags: Mapping[str, str]) -> set[str]:
    """Return the texts of the datasets of a run that the tags of its partner keep whole."""
    found: set[str] = set()
    for given in run.inputs.dataset_inputs:
        fields, pairs = _parts(given)
        name = fields.get("name", "")
        found |= {value for field, value in fields.items() if copied(f"dataset_{field}", tags, name) == value}
        found |= {value for key, value in pairs.items() if copied("input_tag", tags, key) == value}
        found |= {key for key in pairs if copied("input_tag_key", tags, fitting(key)[-32:]) == key}
    return found


def _dataset(given: Mapping[str, Any], texts: Collection[str]) -> tuple[str, Facts]:
    fields, pairs = _parts(given)
    whole = {field: uncut(value, texts) for field, value in fields.items() if value != ""}
    label = f"{whole.pop('name', '')} ({whole.pop('digest', '')})"
    return label, {**whole, "tags": {uncut(key, texts): uncut(value, texts) for key, value in pairs.items()}}


def _parts(given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields of a dataset, and its tags."""
    fields = {str(field): str(value) for field, value in given.get("dataset", {}).items()}
    return fields, {str(tag.get("key", "")): str(tag.get("value", "")) for tag in given.get("tags", ())}


def without_partner(links: Sequence[ModelLink], partners: Partners) -> str:
    """Return the ids of logged models that are not at the destination, as a tag keeps them."""
    return " ".join(one.model_id for one in links if not partners.find("logged_model", one.model_id))[:LONGEST_TAG]


def pair_unseen(run: Run, found: Run, partners: Partners) -> None:
    """Pair the logged models that two runs wrote and that bear no marker to pair them by, in the order of the runs."""
    known, origins = partners.of("logged_model"), partners.origins("logged_model")
    wanted = [one for one in run.outputs.model_outputs if one.model_id not in known]
    there = [one for one in found.outputs.model_outputs if one.model_id not in origins]
    if [one.step for one in wanted] == [one.step for one in there]:
        for one, other in zip(wanted, there, strict=True):
            known[SourceId(one.model_id)] = DestinationId(other.model_id)
            origins[other.model_id] = SourceId(one.model_id)


def models(run: Run, found: Run, partners: Partners) -> tuple[Facts, Facts]:
    """Return the logged models that two runs read and wrote, by their ids at the destination.

    One that was read and is not there keeps its own id; a tag names those that were written (`without_partner`). Two of
    the destination that came from one count as one, for MLflow takes no link away.
    """
    origins = partners.origins("logged_model")

    def wanted(links: Sequence[ModelLink]) -> dict[str, str]:
        return {partners.find("logged_model", one.model_id) or one.model_id: f"step {one.step}" for one in links}

    def there(links: Sequence[ModelLink]) -> dict[str, str]:
        ids = [partners.find("logged_model", origins.get(one.model_id, "")) or one.model_id for one in links]
        return {model_id: f"step {one.step}" for model_id, one in zip(ids, links, strict=True)}

    written = [one for one in run.outputs.model_outputs if partners.find("logged_model", one.model_id)]
    return (
        {"model inputs": wanted(run.inputs.model_inputs), "model outputs": wanted(written)},
        {"model inputs": there(found.inputs.model_inputs), "model outputs": there(found.outputs.model_outputs)},
    )
