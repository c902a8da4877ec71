"""Whole objects: taken away, and strangers within what a migration created."""

from functools import partial
from random import Random

from tests.support.campaigns.alterations.base import (
    Altered,
    Generator,
    added,
    at,
    changed,
    differs,
    extra,
    missing,
    new_id,
    removal,
)
from tests.support.campaigns.alterations.store import EXPERIMENT, MODEL, REGISTERED, RUN, TABLES, VERSION, Store, Thing


def _object_removed(kind: str, store: Store, chance: Random) -> Altered | None:
    thing = chance.choice(store.things(kind))
    gone = [thing, *(store.content(thing) if kind in {EXPERIMENT, REGISTERED} else ())]
    if not store.alone(gone) or any(_shows_deleted(store, one) for one in gone):
        return None
    rows = [row for one in gone for row in store.rows(one)]
    return Altered(missing(*gone), removal(rows))


def _shows_deleted(store: Store, thing: Thing) -> bool:
    """Whether only this run still shows a logged model that is deleted."""
    if thing.kind != RUN:
        return False
    models = [Thing(MODEL, link["destination_id"]) for link in store.links(thing, "MODEL_OUTPUT")]
    return any(store.row(model)["lifecycle_stage"] == "deleted" for model in models)


def _stranger(kind: str, store: Store, chance: Random) -> Altered | None:
    """Copies only the row of an object, as somebody's own object would be: without any tag."""
    like = chance.choice(store.things(kind))
    home = store.home(like)
    row = store.row(like)
    # In the bin a stranger takes nobody's place.
    if home is None or not store.own(home) or row.values.get("lifecycle_stage") == "deleted":
        return None
    if kind == VERSION:
        number = max(one["version"] for one in store.tables["model_versions"] if one["name"] == home.id) + 1
        return Altered(extra(Thing(VERSION, f"{home.id}/{number}")), (added(row, version=number),), frozenset({home}))
    column, name = ("run_uuid", new_id(chance)) if kind == RUN else ("model_id", new_id(chance, "m-"))
    return Altered(extra(Thing(kind, name)), (added(row, **{column: name}),), frozenset({home}))


def _life(store: Store, chance: Random) -> Altered | None:
    """Puts a logged model into the bin, or takes it out: there it is seen only if a run wrote it."""
    model = chance.choice(store.things(MODEL))
    row = store.row(model)
    other = "active" if row["lifecycle_stage"] == "deleted" else "deleted"
    shown = any(
        link["destination_id"] == model.id for link in store.tables["inputs"] if link["source_type"] == "RUN_OUTPUT"
    )
    if not shown and not store.alone([model]):
        return None
    told = differs(model, "lifecycle") if shown else missing(model)
    return Altered(told, (changed(row, lifecycle_stage=other),))


GENERATORS: tuple[Generator, ...] = (
    *(
        Generator(f"{kind} removed", partial(_object_removed, kind))
        for kind in (RUN, MODEL, EXPERIMENT, REGISTERED, VERSION)
    ),
    *(
        Generator(f"stranger: {kind}", partial(_stranger, kind), at(TABLES[kind], column))
        for kind, column in ((RUN, "run_uuid"), (MODEL, "model_id"), (VERSION, "version"))
    ),
    Generator("logged_models.lifecycle_stage changed", _life, at("logged_models", "lifecycle_stage")),
)
