"""Metric points: of the history of a run, its last ones, and those of logged models."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

from bulkexim.kinds.compare.metrics import number
from tests.support.campaigns.alterations.base import (
    Altered,
    Generator,
    added,
    at,
    changed,
    differs,
    of_wide_choice,
    other_text,
    removal,
    removed,
)
from tests.support.campaigns.alterations.store import Row, Store, Thing

Values = Mapping[str, Any]
Other = Callable[[Row, Random], dict[str, Any]]


def _value(column: str) -> Other:
    return lambda row, chance: {column: chance.choice([chance.random(), (row[column] or 0.0) + 1.0, 1e300])}


def _later(column: str) -> Other:
    return lambda row, chance: {column: row[column] + chance.choice([1, -1, 1000])}


def _not_a_number(row: Row, _: Random) -> dict[str, Any]:
    return {"value": 0.0, "is_nan": not row["is_nan"]}


def _moment(values: Values) -> str:
    return f"step {values['step']}, time {values['timestamp']}"


def _point(values: Values) -> str:
    return f"{_moment(values)}: {'nan' if values['is_nan'] else number(values['value'])}"


def _picked(table: str, store: Store, chance: Random) -> tuple[Row, Thing, list[Row]] | None:
    """A row, its object, and the other points of the same key there."""
    row = of_wide_choice(store.tables[table], store, chance)
    thing = store.owner(row) if row else None
    if row is None or thing is None:
        return None
    same = [other for other in store.rows(thing) if other.table == table and other["key"] == row["key"]]
    return row, thing, [other for other in same if other != row]


def _other_point(other: Other, store: Store, chance: Random) -> Altered | None:
    if (picked := _picked("metrics", store, chance)) is None:
        return None
    row, thing, beside = picked
    new = {**row.values, **other(row, chance)}
    if _point(new) in {_point(point.values) for point in (row, *beside)}:
        return None
    fields = {f"metrics / {row['key']} / {_moment(values)}" for values in (row.values, new)}
    return Altered(differs(thing, *fields), (changed(row, **_differing(row, new)),))


def _differing(row: Row, new: Values) -> dict[str, Any]:
    return {column: value for column, value in new.items() if value != row[column]}


def _without_point(store: Store, chance: Random) -> Altered | None:
    if (picked := _picked("metrics", store, chance)) is None:
        return None
    row, thing, beside = picked
    # Where no point is left, the key as a whole is missing.
    field = f"metrics / {row['key']}" + (f" / {_moment(row.values)}" if beside else "")
    return Altered(differs(thing, field), (removed(row),))


def _one_point_more(store: Store, chance: Random) -> Altered | None:
    if (picked := _picked("metrics", store, chance)) is None:
        return None
    row, thing, beside = picked
    new = {**row.values, "value": chance.random(), "step": row["step"] - chance.choice([0, 1])}
    if _point(new) in {_point(point.values) for point in (row, *beside)}:
        return None
    return Altered(differs(thing, f"metrics / {row['key']} / {_moment(new)}"), (added(row, **new),))


def _other_metric(store: Store, chance: Random) -> Altered | None:
    """Renames a metric as a whole."""
    if (picked := _picked("latest_metrics", store, chance)) is None:
        return None
    row, thing, _ = picked
    key = f"{row['key']}{chance.choice(['x', '/2'])}"
    points = [point for point in store.rows(thing) if point.table == "metrics" and point["key"] == row["key"]]
    edits = tuple(changed(one, key=key) for one in (row, *points))
    return Altered(differs(thing, f"metrics / {row['key']}", f"metrics / {key}"), edits)


def _whole_metric(store: Store, chance: Random) -> Altered | None:
    if (picked := _picked("latest_metrics", store, chance)) is None:
        return None
    row, thing, _ = picked
    points = [point for point in store.rows(thing) if point.table == "metrics" and point["key"] == row["key"]]
    return Altered(differs(thing, f"metrics / {row['key']}"), removal([row, *points]))


def _other_last(other: Other, store: Store, chance: Random) -> Altered | None:
    if (picked := _picked("latest_metrics", store, chance)) is None:
        return None
    row, thing, _ = picked
    new = {**row.values, **other(row, chance)}
    if _point(new) == _point(row.values) or (_moment(new) == _moment(row.values) and _undecided(store, thing, row)):
        return None
    return Altered(differs(thing, f"metrics / {row['key']} / last point"), (changed(row, **_differing(row, new)),))


def _undecided(store: Store, thing: Thing, last: Row) -> bool:
    """Whether a NaN and a number stand at the same step and time: MLflow has no order for these (``metrics.py``)."""
    points = [row for row in store.rows(thing) if row.table == "metrics" and row["key"] == last["key"]]
    return len({row["is_nan"] for row in points if _moment(row.values) == _moment(last.values)}) > 1


def _without_last(store: Store, chance: Random) -> Altered | None:
    """Without its last point MLflow does not show that a metric is there."""
    if (picked := _picked("latest_metrics", store, chance)) is None:
        return None
    row, thing, _ = picked
    return Altered(differs(thing, f"metrics / {row['key']}"), (removed(row),))


MODELS = "logged_model_metrics"


def _of_model(values: Values) -> str:
    dataset = f", dataset {values['dataset_name']} ({values['dataset_digest']})" if values["dataset_name"] else ""
    point = f"step {values['metric_step']}, time {values['metric_timestamp_ms']}: {number(values['metric_value'])}"
    return f"metrics / {values['metric_name']} of run {values['run_id']}{dataset} / {point}"


def _model_fields(thing: Thing, store: Store, row: Row, new: Values | None) -> set[str]:
    before = Counter(_of_model(one.values) for one in store.rows(thing) if one.table == MODELS)
    after = before - Counter([_of_model(row.values)]) + Counter([_of_model(new)] if new else [])
    return {field for field in before | after if before[field] != after[field]}


def _other_of_model(other: Other, store: Store, chance: Random) -> Altered | None:
    row = of_wide_choice(store.tables[MODELS], store, chance)
    thing = store.owner(row) if row else None
    if row is None or thing is None:
        return None
    new = {**row.values, **other(row, chance)}
    fields = _model_fields(thing, store, row, new)
    return Altered(differs(thing, *fields), (changed(row, **_differing(row, new)),)) if fields else None


def _without_of_model(store: Store, chance: Random) -> Altered | None:
    row = of_wide_choice(store.tables[MODELS], store, chance)
    thing = store.owner(row) if row else None
    if row is None or thing is None:
        return None
    return Altered(differs(thing, *_model_fields(thing, store, row, None)), (removed(row),))


def _more_of_model(store: Store, chance: Random) -> Altered | None:
    row = of_wide_choice(store.tables[MODELS], store, chance)
    thing = store.owner(row) if row else None
    if row is None or thing is None:
        return None
    new = {**row.values, "metric_step": row["metric_step"] + 1_000_000, "metric_value": chance.random()}
    return Altered(differs(thing, _of_model(new)), (added(row, **new),))


def _text(column: str) -> Other:
    return lambda row, chance: {column: other_text(row[column], chance)} if row[column] else {}


POINTS: Mapping[str, Other] = {
    "value": _value("value"),
    "step": _later("step"),
    "timestamp": _later("timestamp"),
    "is_nan": _not_a_number,
}
OF_MODELS: Mapping[str, Other] = {
    "metric_value": _value("metric_value"),
    "metric_step": _later("metric_step"),
    "metric_timestamp_ms": _later("metric_timestamp_ms"),
    **{column: _text(column) for column in ("metric_name", "run_id", "dataset_name", "dataset_digest")},
}

GENERATORS: tuple[Generator, ...] = (
    *(
        Generator(f"metrics.{column} changed", partial(_other_point, other), at("metrics", column))
        for column, other in POINTS.items()
    ),
    Generator("metrics: point removed", _without_point),
    Generator("metrics: point added", _one_point_more),
    Generator("metric renamed", _other_metric, at("metrics", "key") | at("latest_metrics", "key")),
    Generator("metric removed", _whole_metric),
    *(
        Generator(f"latest_metrics.{column} changed", partial(_other_last, other), at("latest_metrics", column))
        for column, other in POINTS.items()
    ),
    Generator("latest_metrics: row removed", _without_last),
    *(
        Generator(f"{MODELS}.{column} changed", partial(_other_of_model, other), at(MODELS, column))
        for column, other in OF_MODELS.items()
    ),
    Generator(f"{MODELS}: point removed", _without_of_model),
    Generator(f"{MODELS}: point added", _more_of_model),
)
