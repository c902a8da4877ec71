"""MLflow's JSON as a comparison reads it.

The types are its own: a field that those of the mover lack, or read wrongly, is not lost to both. Times are in
milliseconds since the epoch; ids are those of whatever server was asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

#: Values that JSON has no number for are texts.
MetricValue = float | Literal["NaN", "Infinity", "-Infinity"]


class Tag(msgspec.Struct, frozen=True):
    """A tag or param; an empty value is left out on the wire."""

    key: str
    value: str = ""


class Point(msgspec.Struct, frozen=True, gc=False):
    """One metric value of a run."""

    key: str
    value: MetricValue = 0.0
    timestamp: int = 0
    step: int = 0


class Experiment(msgspec.Struct, frozen=True):
    """``experiments/search``."""

    experiment_id: str
    name: str = ""
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    creation_time: int | None = None
    tags: tuple[Tag, ...] = ()

    @property
    def deleted(self) -> bool:
        """Whether the experiment is deleted."""
        return self.lifecycle_stage == "deleted"


class RunInfo(msgspec.Struct, frozen=True):
    """``Run.info``."""

    run_id: str
    experiment_id: str = ""
    run_name: str = ""
    user_id: str = ""
    status: str = "RUNNING"
    start_time: int | None = None
    end_time: int | None = None
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class RunData(msgspec.Struct, frozen=True):
    """``Run.data``: the last point of each metric, params and tags."""

    metrics: tuple[Point, ...] = ()
    params: tuple[Tag, ...] = ()
    tags: tuple[Tag, ...] = ()


class ModelLink(msgspec.Struct, frozen=True):
    """A logged model that a run read or wrote."""

    model_id: str
    step: int = 0


class RunInputs(msgspec.Struct, frozen=True):
    """``Run.inputs``."""

    dataset_inputs: tuple[dict[str, Any], ...] = ()
    model_inputs: tuple[ModelLink, ...] = ()


class RunOutputs(msgspec.Struct, frozen=True):
    """``Run.outputs``."""

    model_outputs: tuple[ModelLink, ...] = ()


class Run(msgspec.Struct, frozen=True):
    """``runs/get``; ``runs/search`` leaves out the logged models that a run read, and of older servers all links."""

    info: RunInfo
    data: RunData = RunData()
    inputs: RunInputs = RunInputs()
    outputs: RunOutputs = RunOutputs()

    @property
    def deleted(self) -> bool:
        """Whether the run is deleted."""
        return self.info.lifecycle_stage == "deleted"


class ModelMetric(msgspec.Struct, frozen=True, gc=False):
    """A metric value of a logged model, with the run that measured it."""

    key: str
    value: MetricValue = 0.0
    timestamp: int = 0
    step: int = 0
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class ModelInfo(msgspec.Struct, frozen=True):
    """``LoggedModel.info``."""

    model_id: str
    experiment_id: str = ""
    name: str = ""
    creation_timestamp_ms: int | None = None
    artifact_uri: str = ""
    status: str = "LOGGED_MODEL_PENDING"
    status_message: str = ""
    creator_id: str | int | None = None
    model_type: str = ""
    source_run_id: str = ""
    tags: tuple[Tag, ...] = ()


class ModelData(msgspec.Struct, frozen=True):
    """``LoggedModel.data``."""

    params: tuple[Tag, ...] = ()
    metrics: tuple[ModelMetric, ...] = ()


class LoggedModel(msgspec.Struct, frozen=True):
    """``logged-models/get``; that it is deleted shows only in how it was asked for."""

    info: ModelInfo
    data: ModelData = ModelData()
    deleted: bool = False


class Alias(msgspec.Struct, frozen=True):
    """A name for one version of a registered model."""

    alias: str
    version: str = ""


class RegisteredModel(msgspec.Struct, frozen=True):
    """``registered-models/get``."""

    name: str
    description: str = ""
    creation_timestamp: int | None = None
    tags: tuple[Tag, ...] = ()
    aliases: tuple[Alias, ...] = ()


class Version(msgspec.Struct, frozen=True):
    """``model-versions/search``."""

    name: str
    version: str
    creation_timestamp: int | None = None
    user_id: str = ""
    current_stage: str = "None"
    description: str = ""
    source: str = ""
    run_id: str = ""
    run_link: str = ""
    status: str = "READY"
    status_message: str = ""
    model_id: str = ""
    tags: tuple[Tag, ...] = ()

    @property
    def id(self) -> str:
        """Name and number."""
        return f"{self.name}/{self.version}"


def value_of(tags: Iterable[Tag], key: str) -> str:
    """Return the value of one tag, or nothing."""
    return next((tag.value for tag in tags if tag.key == key), "")
