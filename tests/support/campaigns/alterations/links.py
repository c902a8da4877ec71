"""What links a run to datasets and logged models."""

from collections.abc import Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from tests.support.campaigns.alterations.base import (
    Altered,
    Generator,
    added,
    at,
    changed,
    differs,
    missing,
    new_id,
    other_text,
    removed,
)
from tests.support.campaigns.alterations.store import MODEL, RUN, VERSION, Row, Store, Thing

#: What MLflow calls the columns of a dataset.
DATASET = {
    "dataset_source_type": "source_type",
    "dataset_source": "source",
    "dataset_schema": "schema",
    "dataset_profile": "profile",
}
Facts = dict[str, Any]
Rows = Iterable[Row]


def _facts(store: Store, run: Thing, replaced: Mapping[Row, Mapping[str, Any] | None]) -> Facts:
    """The fields of the datasets of a run, with some rows replaced or, without a value, gone."""

    def values(rows: Rows) -> list[Mapping[str, Any]]:
        now = [replaced.get(row, row.values) if row in replaced else row.values for row in rows]
        return [one for one in now if one is not None]

    datasets = {one["dataset_uuid"]: one for one in values(store.tables["datasets"])}
    tags = values(row for row in store.rows(run) if row.table == "input_tags")
    found: Facts = {}
    for link in values(store.links(run, "DATASET")):
        if (dataset := datasets.get(link["source_id"])) is not None:
            label = f"dataset inputs / {dataset['name']} ({dataset['digest']})"
            found |= {f"{label} / {name}": dataset[column] for column, name in DATASET.items() if dataset[column]}
            mine = [tag for tag in tags if tag["input_uuid"] == link["input_uuid"]]
            found |= {f"{label} / tags / {tag['name']}": tag["value"] for tag in mine}
    return found


def _differing(store: Store, runs: Iterable[Thing], row: Row, new: Mapping[str, Any] | None) -> frozenset[Any]:
    told: frozenset[Any] = frozenset()
    for run in runs:
        before, after = _facts(store, run, {}), _facts(store, run, {row: new})
        told |= differs(run, *(field for field in before | after if before.get(field) != after.get(field)))
    return told


def _linked(store: Store, dataset: Row) -> list[Thing]:
    links = [row for row in store.tables["inputs"] if row["source_id"] == dataset["dataset_uuid"]]
    return [run for run in map(store.owner, links) if run is not None]


def _other_dataset(column: str, store: Store, chance: Random) -> Altered | None:
    row = chance.choice(store.tables["datasets"])
    new = {**row.values, column: other_text(row[column], chance)}
    told = _differing(store, _linked(store, row), row, new)
    return Altered(told, (changed(row, **{column: new[column]}),), frozenset({_itself(row)})) if told else None


def _name(dataset: Row) -> tuple[str, str]:
    return dataset["name"], dataset["digest"]


def _itself(dataset: Row) -> Thing:
    """What two alterations must not both rest on, though a comparison knows it only by its runs."""
    return Thing("dataset", dataset["dataset_uuid"])


def _without_dataset(store: Store, chance: Random) -> Altered | None:
    row = chance.choice(store.tables["datasets"])
    told = _differing(store, _linked(store, row), row, None)
    return Altered(told, (removed(row),), frozenset({_itself(row)})) if told else None


def _link(store: Store, chance: Random, kind: str) -> tuple[Row, Thing] | None:
    runs = [run for run in store.things(RUN) if store.links(run, kind)]
    if not runs:
        return None
    run = chance.choice(runs)
    return chance.choice(store.links(run, kind)), run


def _without_dataset_link(store: Store, chance: Random) -> Altered | None:
    if (picked := _link(store, chance, "DATASET")) is None:
        return None
    row, run = picked
    return Altered(_differing(store, [run], row, None), (removed(row),))


def _dataset_of_another(store: Store, chance: Random) -> Altered | None:
    if (picked := _link(store, chance, "DATASET")) is None:
        return None
    row, run = picked
    linked = {link["source_id"] for link in store.links(run, "DATASET")}
    taken = {_name(one) for one in store.tables["datasets"] if one["dataset_uuid"] in linked}
    # Twice the same name: see test_alterations.py.
    free = [one for one in store.tables["datasets"] if _name(one) not in taken]
    if not free:
        return None
    dataset = chance.choice(free)
    new = {**row.values, "source_id": dataset["dataset_uuid"]}
    told = _differing(store, [run], row, new)
    return Altered(told, (changed(row, source_id=new["source_id"]),), frozenset({_itself(dataset)})) if told else None


def _tag_of_input(what: str, store: Store, chance: Random) -> Altered | None:
    row = chance.choice(store.tables["input_tags"])
    run = store.owner(row)
    if run is None:
        return None
    if what == "row removed":
        return Altered(_differing(store, [run], row, None), (removed(row),))
    column = "value" if what == "value changed" else "name"
    new = {**row.values, column: other_text(row[column], chance)}
    told = _differing(store, [run], row, new)
    if what == "row added":
        told = frozenset(one for one in told if one.field.endswith(f" / {new['name']}"))
        return Altered(told, (added(row, name=new["name"]),))
    return Altered(told, (changed(row, **{column: new[column]}),))


#: The two types of a link between a run and a logged model, as the comparison calls it.
TO_MODEL = {"MODEL_INPUT": "model inputs", "MODEL_OUTPUT": "model outputs"}


def _deleted(store: Store, model_id: str) -> bool:
    return bool(store.row(Thing(MODEL, model_id))["lifecycle_stage"] == "deleted")


def _without_model_link(kind: str, store: Store, chance: Random) -> Altered | None:
    if (picked := _link(store, chance, kind)) is None:
        return None
    row, run = picked
    model = Thing(MODEL, row["destination_id"])
    told = differs(run, f"{TO_MODEL[kind]} / {model.id}")
    if kind == "MODEL_OUTPUT" and _deleted(store, model.id):
        # Only the outputs of runs still show what is deleted: now nothing does, and the run should keep its source id
        # as a tag. A version of it would show that it is not there.
        if any(model.id in str(store.row(version)["source"]) for version in store.things(VERSION)):
            return None
        told = missing(model) | differs(run, "tags / bulkexim.source.model_outputs")
    return Altered(told, (removed(row),), frozenset({model}))


def _one_model_link_more(kind: str, store: Store, chance: Random) -> Altered | None:
    """Gives a run that has such a link one more, or puts in place of it one to another model."""
    if (picked := _link(store, chance, kind)) is None:
        return None
    row, run = picked
    taken = {link["destination_id"] for link in store.links(run, kind)}
    free = [model for model in store.things(MODEL) if model.id not in taken]
    if not free:
        return None
    model = chance.choice(free)
    told = differs(run, f"{TO_MODEL[kind]} / {model.id}")
    new = {"destination_id": model.id, "input_uuid": new_id(chance)}
    old = Thing(MODEL, row["destination_id"])
    if chance.random() < 0.5 or _deleted(store, old.id):
        return Altered(told, (added(row, **new),), frozenset({model}))
    told |= differs(run, f"{TO_MODEL[kind]} / {old.id}")
    return Altered(told, (changed(row, **new),), frozenset({model, old}))


def _other_step(store: Store, chance: Random) -> Altered | None:
    if (picked := _link(store, chance, "MODEL_OUTPUT")) is None:
        return None
    row, run = picked
    return Altered(
        differs(run, f"model outputs / {row['destination_id']}"),
        (changed(row, step=row["step"] + chance.choice([1, -1])),),
    )


GENERATORS: tuple[Generator, ...] = (
    *(
        Generator(f"datasets.{column} changed", partial(_other_dataset, column), at("datasets", column))
        for column in (*DATASET, "name", "digest")
    ),
    Generator("datasets: row removed", _without_dataset),
    Generator("inputs: dataset taken away", _without_dataset_link),
    Generator("inputs: another dataset", _dataset_of_another, at("inputs", "source_id")),
    *(
        Generator(f"input_tags: {what}", partial(_tag_of_input, what), at("input_tags", "name", "value"))
        for what in ("value changed", "key renamed", "row removed", "row added")
    ),
    *(Generator(f"inputs: {words} taken away", partial(_without_model_link, kind)) for kind, words in TO_MODEL.items()),
    *(
        Generator(f"inputs: other {words}", partial(_one_model_link_more, kind), at("inputs", "destination_id"))
        for kind, words in TO_MODEL.items()
    ),
    Generator("inputs.step changed", _other_step, at("inputs", "step")),
)
