"""Which differences writing an object again mends: MLflow's API sets much, adds to some, and takes away little."""

from __future__ import annotations

from collections.abc import Mapping

from bulkexim.kinds.compare.difference import ABSENT, Difference

#: By kind, fields that are written as they should be. In those with keys, nothing is taken away that others added.
WRITTEN: Mapping[str, frozenset[str]] = {
    "experiment": frozenset({"name", "lifecycle", "tags", "marker"}),
    "run": frozenset({"name", "status", "end time", "lifecycle", "tags", "artifacts"}),
    "logged_model": frozenset({"status", "lifecycle", "tags", "artifacts"}),
    "registered_model": frozenset({"description", "tags", "aliases", "marker"}),
    "model_version": frozenset({"description", "stage", "tags"}),
}
#: Fields to which what is missing is added, and in which nothing is changed.
ADDED_TO: Mapping[str, frozenset[str]] = {
    "run": frozenset({"params", "metrics", "dataset inputs", "model inputs", "model outputs"}),
    "logged_model": frozenset({"params", "metrics"}),
}


def mendable(kind: str, difference: Difference) -> bool:
    """Return whether the object would be as it should be in this field, if it were written again."""
    field, _, key = difference.field.partition(" / ")
    if field in WRITTEN[kind]:
        return not key or difference.expected != ABSENT
    if field not in ADDED_TO.get(kind, ()):
        return False
    # Of a long history only the number of points is told.
    return difference.found == ABSENT or (field == "metrics" and " / " not in key and difference.expected != ABSENT)
