"""The comparisons of every kind, in the order in which they can be made."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from bulkexim.kinds.compare.base import Compared, Comparison
from bulkexim.kinds.compare.experiment import ExperimentComparison
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.logged_model import LoggedModelComparison
from bulkexim.kinds.compare.model_version import ModelVersionComparison
from bulkexim.kinds.compare.registered_model import RegisteredModelComparison
from bulkexim.kinds.compare.run import RunComparison
from bulkexim.kinds.compare.selection import Referenced, Selection

AnyComparison = Comparison[Any]


def tracking(ends: Compared, files: Files, selection: Selection) -> list[AnyComparison]:
    """Return what compares the chosen experiments and what they hold.

    Runs come before logged models, for they name the deleted ones, which no search shows.
    """
    homes, logged = sorted(selection.homes), selection.logged_models
    return [
        ExperimentComparison(ends, files, selection.chosen),
        RunComparison(ends, files, homes, deleted=selection.deleted, logged=logged, linked=selection.linked),
        *([LoggedModelComparison(ends, files, homes)] if logged else []),
    ]


def needed(
    ends: Compared, files: Files, selection: Selection, found: Referenced, met: Container[str]
) -> list[AnyComparison]:
    """Return what compares the objects that only versions need, and the experiments of these that were not ``met``."""
    owners = [one for one in selection.all if one.experiment_id in found.homes and one.experiment_id not in met]
    logged = selection.logged_models
    runs = RunComparison(
        ends, files, only=sorted(found.runs), deleted=selection.deleted, logged=logged, linked=selection.linked
    )
    return [
        ExperimentComparison(ends, files, owners),
        runs,
        *([LoggedModelComparison(ends, files, only=sorted(found.models))] if logged else []),
    ]


def registry(ends: Compared, files: Files, models: frozenset[str]) -> list[AnyComparison]:
    """Return what compares registered models and their versions."""
    return [RegisteredModelComparison(ends, files, models), ModelVersionComparison(ends, files, models)]


def everything(ends: Compared, files: Files) -> Sequence[AnyComparison]:
    """Return a comparison of each kind that selects nothing: to look at what stands at either end."""
    kinds: list[type[AnyComparison]] = [
        ExperimentComparison,
        RunComparison,
        LoggedModelComparison,
        RegisteredModelComparison,
        ModelVersionComparison,
    ]
    return [kind(ends, files) for kind in kinds]
