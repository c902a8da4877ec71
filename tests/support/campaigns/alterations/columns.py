"""Columns of the tables with one row for each object, and the tables of keys and values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from bulkexim.ids import MARKER_TAG, PREFIX
from bulkexim.kinds.compare.masks import MOVING, OF_THE_MOVE
from bulkexim.kinds.experiment import CREATED_TAG
from bulkexim.kinds.logged_model import REGENERATED
from bulkexim.kinds.run_values import NAME_TAG
from tests.support.campaigns.alterations.base import (
    Altered,
    Generator,
    added,
    at,
    changed,
    differs,
    new_id,
    of_wide_choice,
    other_text,
    removed,
)
from tests.support.campaigns.alterations.store import EXPERIMENT, TABLES, TAGS, Row, Store, Thing

#: Returns another value than the one that is there.
Other = Callable[[Any, Random], Any]


def _more(value: int | None, chance: Random) -> int:
    return (value or 1_700_000_000_000) + chance.choice([1, 1000, 3_600_000])


def _longer(text: str | None, chance: Random) -> str:
    # A place may be written in several ways, so not every other text is another place.
    return f"{text or ''}{chance.choice(['x', '/deeper', '2'])}"


def _one_of(*cases: Any) -> Other:
    return lambda value, chance: chance.choice([case for case in cases if case != value])


#: What a comparison calls each column, and how it is altered.
COLUMNS: Mapping[str, Mapping[str, tuple[str, Other]]] = {
    "run": {
        "name": ("name", other_text),
        "user_id": ("user", other_text),
        "status": ("status", _one_of("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")),
        "start_time": ("start time", _more),
        "end_time": ("end time", _more),
        "lifecycle_stage": ("lifecycle", _one_of("active", "deleted")),
    },
    "experiment": {
        "name": ("name", other_text),
        "lifecycle_stage": ("lifecycle", _one_of("active", "deleted")),
    },
    "logged_model": {
        "name": ("name", other_text),
        "status": ("status", _one_of(1, 2, 3)),
        "model_type": ("type", other_text),
        "source_run_id": ("run", other_text),
    },
    "registered_model": {"description": ("description", other_text)},
    "model_version": {
        "description": ("description", other_text),
        "current_stage": ("stage", _one_of("None", "Staging", "Production", "Archived")),
        "source": ("source", _longer),
        "run_id": ("run", other_text),
        "status": ("status", _one_of("READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION")),
        "run_link": ("run link", other_text),
    },
}


def _column(kind: str, column: str, store: Store, chance: Random) -> Altered:
    field, other = COLUMNS[kind][column]
    thing = chance.choice(store.things(kind))
    row = store.row(thing)
    return Altered(differs(thing, field), (changed(row, **{column: other(row[column], chance)}),))


def _moved(kind: str, store: Store, chance: Random) -> Altered:
    """Puts a run or logged model into another experiment."""
    thing = chance.choice(store.things(kind))
    home = chance.choice([one for one in store.things(EXPERIMENT) if one != store.home(thing)])
    return Altered(
        differs(thing, "experiment"), (changed(store.row(thing), experiment_id=int(home.id)),), frozenset({home})
    )


@dataclass(frozen=True)
class Keyed:
    """A table of keys and values; some keys are not compared (``masks.py``), or pair objects (``doubles.py``)."""

    table: str
    key: str
    value: str
    field: str
    other: Other = other_text
    left_out: frozenset[str] = frozenset()

    def columns(self) -> frozenset[tuple[str, str]]:
        return at(self.table, self.key, self.value)

    def pick(self, store: Store, chance: Random) -> tuple[Row, Thing] | None:
        rows = [row for row in store.tables[self.table] if row[self.key] not in self.left_out]
        row = of_wide_choice(rows, store, chance)
        thing = store.owner(row) if row else None
        return (row, thing) if row and thing else None

    def named(self, key: str) -> str:
        return f"{self.field} / {key}"


_PAIRING = {MARKER_TAG} | {f"{PREFIX}source.{home.source}" for home in TAGS.values()} | {f"{PREFIX}source.name"}
#: A tag that says who created an experiment is read, not compared; a run's name has a column of its own.
_TAGS_LEFT_OUT = OF_THE_MOVE | MOVING | REGENERATED | _PAIRING | {CREATED_TAG, NAME_TAG}


def _other_number(value: int, chance: Random) -> int:
    return value + chance.choice([1, 2, -1])


KEYED = (
    Keyed("params", "key", "value", "params"),
    Keyed("logged_model_params", "param_key", "param_value", "params"),
    *(Keyed(home.table, home.key, home.value, "tags", left_out=_TAGS_LEFT_OUT) for home in TAGS.values()),
    Keyed("registered_model_aliases", "alias", "version", "aliases", _other_number),
)


def _other_value(keyed: Keyed, store: Store, chance: Random) -> Altered | None:
    if (picked := keyed.pick(store, chance)) is None:
        return None
    row, thing = picked
    edit = changed(row, **{keyed.value: keyed.other(row[keyed.value], chance)})
    return Altered(differs(thing, keyed.named(row[keyed.key])), (edit,))


def _other_key(keyed: Keyed, store: Store, chance: Random) -> Altered | None:
    if (picked := keyed.pick(store, chance)) is None:
        return None
    row, thing = picked
    key = f"{row[keyed.key]}{chance.choice(['x', '.2', '_'])}"
    # What only the destination has is no matter where bulkexim wrote it, or in an experiment that was joined.
    seen = not key.startswith(PREFIX) and (thing.kind != EXPERIMENT or store.own(thing))
    fields = [keyed.named(row[keyed.key]), *([keyed.named(key)] if seen else [])]
    return Altered(differs(thing, *fields), (changed(row, **{keyed.key: key}),))


def _without(keyed: Keyed, store: Store, chance: Random) -> Altered | None:
    if (picked := keyed.pick(store, chance)) is None:
        return None
    row, thing = picked
    return Altered(differs(thing, keyed.named(row[keyed.key])), (removed(row),))


def _with_more(keyed: Keyed, store: Store, chance: Random) -> Altered | None:
    """Adds a row, to an object that has one already: its other columns are taken from there."""
    row = of_wide_choice(store.tables[keyed.table], store, chance)
    thing = store.owner(row) if row else None
    if row is None or thing is None or (thing.kind == EXPERIMENT and not store.own(thing)):
        return None
    key = chance.choice(["more", "mlflow.more", "one / more", "später", new_id(chance)])
    value = row[keyed.value] if isinstance(row[keyed.value], int) else "x"
    return Altered(
        differs(thing, keyed.named(key)),
        (added(row, **{keyed.key: key, keyed.value: value}),),
    )


GENERATORS: tuple[Generator, ...] = (
    *(
        Generator(f"{TABLES[kind]}.{column} changed", partial(_column, kind, column), at(TABLES[kind], column))
        for kind, columns in COLUMNS.items()
        for column in columns
    ),
    *(
        Generator(f"{TABLES[kind]}.experiment_id changed", partial(_moved, kind), at(TABLES[kind], "experiment_id"))
        for kind in ("run", "logged_model")
    ),
    *(
        Generator(f"{keyed.table}: {words}", partial(make, keyed), keyed.columns())
        for keyed in KEYED
        for words, make in (
            ("value changed", _other_value),
            ("key renamed", _other_key),
            ("row removed", _without),
            ("row added", _with_more),
        )
    ),
)
