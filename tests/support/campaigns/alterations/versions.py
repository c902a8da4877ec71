"""Registered versions: swapped, renumbered, gone, come back; and models under another name."""

from random import Random

from tests.support.campaigns.alterations.base import (
    Altered,
    Edit,
    Generator,
    at,
    changed,
    differs,
    extra,
    missing,
)
from tests.support.campaigns.alterations.columns import COLUMNS
from tests.support.campaigns.alterations.store import NO_VERSION, REGISTERED, VERSION, Store, Thing


def _two(store: Store, chance: Random) -> tuple[Thing, Thing] | None:
    """Two versions of one model to which nothing points."""
    home = chance.choice(store.things(REGISTERED))
    alone = [version for version in store.content(home) if store.alone([version])]
    if len(alone) < 2:
        return None
    one, other = chance.sample(alone, 2)
    return one, other


def _contents_swapped(store: Store, chance: Random) -> Altered | None:
    if (picked := _two(store, chance)) is None:
        return None
    one, other = (store.row(version) for version in picked)
    named = {
        column: field for column, (field, _) in COLUMNS[VERSION].items() if (one[column] or "") != (other[column] or "")
    }
    if not named:
        return None
    told = differs(picked[0], *named.values()) | differs(picked[1], *named.values())
    edits = (
        changed(one, **{column: other[column] for column in named}),
        changed(other, **{column: one[column] for column in named}),
    )
    return Altered(told, edits)


def _numbers_swapped(store: Store, chance: Random) -> Altered | None:
    if (picked := _two(store, chance)) is None:
        return None
    one, other = picked
    numbers = store.row(one)["version"], store.row(other)["version"]
    edits = (
        *_renumbering(store, one, -1),
        *_renumbering(store, other, numbers[0]),
        *_renumbering(store, one, numbers[1]),
    )
    return Altered(differs(one, "number") | differs(other, "number"), edits)


def _renumbered(store: Store, chance: Random) -> Altered | None:
    if (picked := _two(store, chance)) is None:
        return None
    one, _ = picked
    home = store.row(one)["name"]
    last = max(row["version"] for row in store.tables["model_versions"] if row["name"] == home)
    return Altered(
        differs(one, "number"),
        _renumbering(store, one, last + chance.randint(1, 5)),
        frozenset({Thing(REGISTERED, home)}),
    )


def _renumbering(store: Store, version: Thing, number: int) -> tuple[Edit, ...]:
    return tuple(changed(row, version=number) for row in store.rows(version))


def _deleted(store: Store, chance: Random) -> Altered | None:
    """What MLflow's own deletion leaves."""
    version = chance.choice(store.things(VERSION))
    if not store.alone([version]):
        return None
    return Altered(missing(version), (changed(store.row(version), current_stage=NO_VERSION),))


def _come_back(store: Store, chance: Random) -> Altered | None:
    """The placeholder in a gap is there again."""
    gone = [row for row in store.tables["model_versions"] if row["current_stage"] == NO_VERSION]
    if not gone:
        return None
    row = chance.choice(gone)
    version = Thing(VERSION, f"{row['name']}/{row['version']}")
    home = Thing(REGISTERED, row["name"])
    return Altered(extra(version), (changed(row, current_stage="None", source="s3://bucket/x"),), frozenset({home}))


def _model_renamed(store: Store, chance: Random) -> Altered | None:
    model = chance.choice(store.things(REGISTERED))
    content = store.content(model)
    if not store.alone([model, *content]):
        return None
    rows = [row for thing in (model, *content) for row in store.rows(thing)]
    gaps = [
        row
        for table in ("model_versions", "model_version_tags")
        for row in store.tables[table]
        if row["name"] == model.id and row not in rows
    ]
    name = f"{model.id}{chance.choice(['x', ' 2'])}"
    edits = tuple(changed(row, name=name) for row in (*rows, *gaps))
    # The versions are where their model is.
    return Altered(differs(model, "name"), edits, frozenset(content))


GENERATORS: tuple[Generator, ...] = (
    Generator("versions: contents swapped", _contents_swapped),
    Generator("versions: numbers swapped", _numbers_swapped, at("model_versions", "version")),
    Generator("version renumbered", _renumbered, at("model_versions", "version")),
    Generator("version deleted", _deleted),
    Generator("placeholder in a gap again", _come_back),
    Generator(
        "registered model renamed", _model_renamed, at("registered_models", "name") | at("model_versions", "name")
    ),
)
