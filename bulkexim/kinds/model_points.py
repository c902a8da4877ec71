"""The metric points of logged models: each is written with the run that measured it."""

from __future__ import annotations

from collections.abc import Mapping

from bulkexim.ids import SourceId
from bulkexim.kinds.history import as_kept
from bulkexim.kinds.logged_model_values import LoggedModel
from bulkexim.ledger.schema import Row


def links(model: LoggedModel) -> list[tuple[object, ...]]:
    """Return the points of a model as the ledger keeps them for their runs."""
    return [
        (
            metric.run_id,
            metric.key,
            metric.timestamp,
            metric.step,
            model.info.model_id,
            as_kept(metric.value),
            metric.dataset_name,
            metric.dataset_digest,
        )
        for metric in model.data.metrics
        if metric.run_id
    ]


def measuring(model: LoggedModel) -> set[SourceId]:
    """Return the runs that measured a model."""
    return {point.run_id for point in model.data.metrics if point.run_id}


def unlinked_runs(model: LoggedModel, existing: LoggedModel, rows: Mapping[SourceId, Row]) -> set[SourceId]:
    """Return the runs that measured a model and of whose points one is missing at the ``existing`` one.

    ``rows`` say which runs of the destination came from them.
    """
    there = {(str(point.run_id), point.key, point.timestamp, point.step) for point in existing.data.metrics}
    return {
        point.run_id
        for point in model.data.metrics
        if (run := rows.get(point.run_id)) and (str(run.dst_id), point.key, point.timestamp, point.step) not in there
    }
