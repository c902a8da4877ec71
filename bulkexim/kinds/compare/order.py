"""The comparison of each kind: a new kind is one more line here."""

from __future__ import annotations

from typing import Any

from bulkexim.kinds.base import Kind
from bulkexim.kinds.compare.base import Comparison
from bulkexim.kinds.compare.experiment import ExperimentComparison
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.logged_model import LoggedModelComparison
from bulkexim.kinds.compare.model_version import ModelVersionComparison
from bulkexim.kinds.compare.registered_model import RegisteredModelComparison
from bulkexim.kinds.compare.run import RunComparison
from bulkexim.kinds.experiment import ExperimentKind
from bulkexim.kinds.logged_model import LoggedModelKind
from bulkexim.kinds.model_version import ModelVersionKind
from bulkexim.kinds.order import Scope
from bulkexim.kinds.registered_model import RegisteredModelKind
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.scope import Pair

COMPARISONS: dict[str, type[Comparison[Any, Any]]] = {
    ExperimentKind.name: ExperimentComparison,
    LoggedModelKind.name: LoggedModelComparison,
    RegisteredModelKind.name: RegisteredModelComparison,
    ModelVersionKind.name: ModelVersionComparison,
}


def comparison(pair: Pair, kind: Kind[Any, Any], files: Files, scope: Scope) -> Comparison[Any, Any]:
    """Return what compares the objects of ``kind``."""
    if kind.name == RunKind.name:
        return RunComparison(pair, kind, files, linked=scope.logged_models)
    return COMPARISONS[kind.name](pair, kind, files)
