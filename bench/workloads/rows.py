"""The rows that MLflow's server writes for a workload, by table, in an order that its foreign keys allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from bench.workloads.shapes import Shape

Row = tuple[object, ...]
Batch = Mapping[str, Sequence[Row]]

#: 2026-01-01, in milliseconds since the epoch.
START = 1_767_225_600_000
MINUTE = 60_000
RUNS_AT_ONCE = 500
PARENT_TAG = "mlflow.parentRunId"
#: The columns that are written; the others have defaults.
COLUMNS = {
    "experiments": (
        "experiment_id",
        "name",
        "artifact_location",
        "lifecycle_stage",
        "creation_time",
        "last_update_time",
    ),
    "runs": (
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time"),
        *("end_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
    ),
    "tags": ("key", "value", "run_uuid"),
    "params": ("key", "value", "run_uuid"),
    "metrics": ("key", "value", "timestamp", "run_uuid", "step", "is_nan"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    "registered_models": ("name", "creation_time", "last_updated_time", "description"),
    "model_versions": (
        *("name", "version", "creation_time", "last_updated_time", "description", "current_stage", "source", "run_id"),
        *("status", "run_link", "storage_location"),
    ),
}


class Filled(NamedTuple):
    """A run of a workload: its number, id and experiment, and the chance that its values come from."""

    number: int
    id: str
    experiment: int
    chance: Random

    @property
    def root(self) -> str:
        """The path of its artifact root, at the artifact service and in the folder of the server."""
        return f"{self.experiment}/{self.id}/artifacts"

    def parent(self, shape: Shape) -> str | None:
        """Return the id of the run's parent, if it has one; in every second family that run is not there."""
        if not shape.family:
            return None
        family, place = divmod(self.number, shape.family)
        if family % 2:
            return f"{family:032x}"
        return filled(shape, self.number - place).id if place else None

    @property
    def started(self) -> int:
        """In milliseconds since the epoch."""
        return START + self.number * MINUTE


def filled(shape: Shape, number: int) -> Filled:
    """Return one run of a workload, always the same."""
    chance = Random(shape.seed * 1_000_003 + number)  # noqa: S311 - a workload, not a secret
    home = number // max(1, shape.family)  # a family stays together
    return Filled(number, f"{chance.getrandbits(128):032x}", 1 + home % shape.experiments, chance)


def batches(shape: Shape) -> Iterator[Batch]:
    """Yield all rows of a workload, some hundred runs at a time."""
    yield {"experiments": [_experiment(number + 1) for number in range(shape.experiments)]}
    for first in range(0, shape.runs, RUNS_AT_ONCE):
        yield _runs(shape, [filled(shape, number) for number in range(first, min(first + RUNS_AT_ONCE, shape.runs))])
    if shape.models:
        yield {
            "registered_models": [_model(shape, number) for number in range(shape.models)],
            "model_versions": [
                _version(shape, model, number) for model in range(shape.models) for number in range(shape.versions)
            ],
        }


def _experiment(number: int) -> Row:
    return number, f"experiment {number}", f"mlflow-artifacts:/{number}", "active", START, START


def _runs(shape: Shape, runs: Sequence[Filled]) -> Batch:
    rows: dict[str, list[Row]] = {name: [] for name in ("runs", "tags", "params", "metrics", "latest_metrics")}
    for run in runs:
        rows["runs"].append(_run(run))
        rows["tags"].append(("mlflow.runName", f"run {run.number}", run.id))
        if parent := run.parent(shape):
            rows["tags"].append((PARENT_TAG, parent, run.id))
        rows["params"] += [(f"param_{key}", str(run.chance.random()), run.id) for key in range(shape.params)]
        for key in range(shape.metrics):
            points = [
                (f"metric_{key}", run.chance.random(), run.started + step, run.id, step, 0)
                for step in range(shape.points)
            ]
            rows["metrics"] += points
            name, value, timestamp, run_id, step, is_nan = points[-1]
            rows["latest_metrics"].append((name, value, timestamp, step, is_nan, run_id))
    return rows


def _run(run: Filled) -> Row:
    uri = f"mlflow-artifacts:/{run.root}"
    times = run.started, run.started + MINUTE
    return (
        run.id,
        f"run {run.number}",
        "UNKNOWN",
        "",
        "",
        "bench",
        "FINISHED",
        *times,
        "",
        "active",
        uri,
        run.experiment,
    )


def _model(shape: Shape, number: int) -> Row:
    return f"model-{number}", START, START + shape.versions, ""


def _version(shape: Shape, model: int, number: int) -> Row:
    """Return a version that points to a run; a registered model's versions come from as many runs."""
    run = filled(shape, (model * shape.versions + number) % shape.runs)
    source, born = f"mlflow-artifacts:/{run.root}/file-0.bin", START + number + 1
    return f"model-{model}", number + 1, born, born, "", "None", source, run.id, "READY", "", source
