"""Markers: taken away, of somebody else, and borne by two objects."""

from functools import partial
from random import Random
from typing import Any

from bulkexim.ids import MARKER_TAG, PREFIX
from tests.support.campaigns.alterations.base import (
    Altered,
    Edit,
    Generator,
    added,
    at,
    changed,
    differs,
    extra,
    missing,
    new_id,
    removed,
)
from tests.support.campaigns.alterations.store import (
    EXPERIMENT,
    MODEL,
    NO_VERSION,
    REGISTERED,
    RUN,
    TABLES,
    TAGS,
    VERSION,
    Row,
    Store,
    Thing,
)

#: Found again by its name, so that it is only the marker that is told.
BY_NAME = (EXPERIMENT, REGISTERED)


def _marker_gone(kind: str, store: Store, chance: Random) -> Altered | None:
    thing = chance.choice(store.things(kind))
    edits = (removed(store.tag_rows(thing)[MARKER_TAG]),)
    if kind in BY_NAME:
        return Altered(differs(thing, "marker"), edits)
    home = store.home(thing)
    if home is None or not store.alone([thing]):
        return None
    # In the bin, and in an experiment that was joined, it may well be somebody's own.
    stranger = store.own(home) and store.row(thing).values.get("lifecycle_stage") != "deleted"
    return Altered(missing(thing) | (extra(thing) if stranger else frozenset()), edits, frozenset({home}))


def _other_marker(kind: str, store: Store, chance: Random) -> Altered | None:
    """Another marker is that of another source: what bears it is not ours.

    Ids of runs and logged models are nobody else's, so that source is this one under another name.
    """
    thing = chance.choice(store.things(kind))
    edits = (changed(store.tag_rows(thing)[MARKER_TAG], **{TAGS[kind].value: new_id(chance)}),)
    if kind == REGISTERED:
        return Altered(differs(thing, "marker"), edits)
    told = missing(thing) | (extra(thing) if kind in (RUN, MODEL) else frozenset())
    return Altered(told, edits) if store.alone([thing]) else None


def _other_source_id(kind: str, store: Store, chance: Random) -> Altered | None:
    """Alters, or removes, the tag by which the marker is proved."""
    thing = chance.choice(store.things(kind))
    key = f"{PREFIX}source.{TAGS[kind].source}"
    row = store.tag_rows(thing)[key]
    edit = removed(row) if chance.random() < 0.5 else changed(row, **{TAGS[kind].value: f"{row[TAGS[kind].value]}0"})
    if kind in BY_NAME:
        return Altered(differs(thing, f"tags / {key}"), (edit,))
    return Altered(missing(thing), (edit,)) if store.alone([thing]) else None


#: Tables whose rows name each other, and those of which another object's rows would have to be copied too.
_NOT_COPIED = {"inputs", "input_tags", "logged_model_metrics"}


def _copied(rows: list[Row], **values: Any) -> tuple[Edit, ...]:
    return tuple(
        added(row, **{column: value for column, value in values.items() if column in row.values})
        for row in rows
        if row.table not in _NOT_COPIED
    )


def _whole_double(kind: str, store: Store, chance: Random) -> Altered | None:
    """Copies all rows, so that both look complete; the copy comes later in every listing."""
    thing = chance.choice(store.things(kind))
    rows = store.rows(thing)
    if kind == RUN:
        edits = _copied(rows, run_uuid=new_id(chance), start_time=store.row(thing)["start_time"] + 1)
    elif kind == MODEL:
        if store.row(thing)["lifecycle_stage"] == "deleted":
            return None  # No run names the copy, so nobody sees it.
        created = store.row(thing)["creation_timestamp_ms"]
        edits = _copied(rows, model_id=new_id(chance, "m-"), creation_timestamp_ms=created + 1000)
    elif kind == EXPERIMENT:
        edits = _copied(rows, experiment_id=chance.randrange(10**6, 10**9), name=new_id(chance))
    elif kind == VERSION:
        name = store.row(thing)["name"]
        last = max(row["version"] for row in store.tables["model_versions"] if row["name"] == name)
        return Altered(extra(thing), _copied(rows, version=last + 1), frozenset({Thing(REGISTERED, name)}))
    else:
        # After every other name, with all its versions.
        content = store.content(thing)
        copied = [row for one in (thing, *content) for row in store.rows(one)]
        return Altered(extra(thing, *content), _copied(copied, name=f"\U0001f9ff {new_id(chance)}"))
    return Altered(extra(thing), edits)


def _bare_double(kind: str, store: Store, chance: Random) -> Altered | None:
    """What a create leaves whose reply was lost and that was sent again: the marker and nothing else."""
    thing = chance.choice(store.things(kind))
    row = store.row(thing)
    tags = list(store.tag_rows(thing).values())
    if kind == RUN:
        new: dict[str, Any] = {"run_uuid": new_id(chance), "status": "RUNNING", "end_time": None}
        return Altered(extra(thing), _copied([row, *tags], **new, start_time=row["start_time"] + 1))
    if row["lifecycle_stage"] == "deleted":
        return None
    new = {"model_id": new_id(chance, "m-"), "status": 1}
    return Altered(
        extra(thing), _copied([row, *tags], **new, creation_timestamp_ms=row["creation_timestamp_ms"] + 1000)
    )


def _double_in_a_gap(store: Store, chance: Random) -> Altered | None:
    """A version under a number of the source that was deleted there: the first one in the listing, and not the one."""
    gone = [row for row in store.tables["model_versions"] if row["current_stage"] == NO_VERSION]
    if not gone:
        return None
    row = chance.choice(gone)
    thing = chance.choice(store.content(Thing(REGISTERED, row["name"])))
    tags = list(store.tag_rows(thing).values())
    edits = (changed(row, current_stage="None"), *_copied(tags, version=row["version"]))
    placeholder = Thing(VERSION, f"{row['name']}/{row['version']}")
    return Altered(extra(thing), edits, frozenset({placeholder}))


KINDS = (RUN, MODEL, EXPERIMENT, REGISTERED, VERSION)
GENERATORS: tuple[Generator, ...] = (
    *(
        Generator(f"{kind}: marker taken away", partial(_marker_gone, kind), at(TAGS[kind].table, TAGS[kind].key))
        for kind in KINDS
    ),
    # An experiment that two sources share bears the marker of the later one.
    *(Generator(f"{kind}: another marker", partial(_other_marker, kind)) for kind in KINDS if kind != EXPERIMENT),
    *(Generator(f"{kind}: another source id", partial(_other_source_id, kind)) for kind in KINDS),
    *(Generator(f"{kind} doubled", partial(_whole_double, kind), at(TABLES[kind])) for kind in KINDS),
    Generator("model_version doubled in a gap", _double_in_a_gap),
    *(Generator(f"{kind} begun twice", partial(_bare_double, kind)) for kind in (RUN, MODEL)),
)
