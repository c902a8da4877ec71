"""Runs as MLflow sends them, and as they will stand at the destination."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bulkexim.ends.server import Server
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.history import Point
from bulkexim.kinds.wire import Tag

SOURCE_TAG = "bulkexim.source.run_id"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
#: Tags that hold ids of the run itself, known only once it is created.
OWN_ID_TAGS = ("mlflow.log-model.history",)
#: Experiments that one search names; MLflow takes thousands.
EXPERIMENTS_AT_ONCE = 500
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})


class RunInfo(msgspec.Struct, frozen=True):
    """``Run.info``; times are in milliseconds since the epoch."""

    run_id: SourceId
    experiment_id: SourceId
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

    model_id: SourceId
    step: int = 0


class RunInputs(msgspec.Struct, frozen=True):
    """``Run.inputs``: datasets as they came, and logged models (``runs/get`` only)."""

    dataset_inputs: tuple[dict[str, Any], ...] = ()
    model_inputs: tuple[ModelLink, ...] = ()


class RunOutputs(msgspec.Struct, frozen=True):
    """``Run.outputs`` (in ``runs/search`` from MLflow 3.6)."""

    model_outputs: tuple[ModelLink, ...] = ()


class Run(msgspec.Struct, frozen=True):
    """One run of the source; ``page`` numbers the listings that it may have come with."""

    info: RunInfo
    data: RunData = RunData()
    inputs: RunInputs = RunInputs()
    outputs: RunOutputs = RunOutputs()
    page: int = 0

    @property
    def deleted(self) -> bool:
        """Whether the run is in the bin."""
        return self.info.lifecycle_stage == "deleted"

    def put_into_bin(self) -> Run:
        """Return the run as one that is in the bin."""
        return msgspec.structs.replace(self, info=msgspec.structs.replace(self.info, lifecycle_stage="deleted"))

    def tag(self, key: str) -> str:
        """Return the value of one tag, or nothing."""
        return next((tag.value for tag in self.data.tags if tag.key == key), "")


class RunPage(msgspec.Struct, frozen=True):
    """A page of ``runs/search``."""

    runs: tuple[Run, ...] = ()
    next_page_token: str | None = None


class OneRun(msgspec.Struct, frozen=True):
    """``runs/get`` and ``runs/create``."""

    run: Run


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run translated: what its references mean at the destination.

    ``late_tags`` are written after the create call, for they hold ids that are known only then. ``cuttable`` says that
    something of its text may be more than the destination takes.
    """

    run: Run
    experiment: DestinationId | None
    in_deleted_experiment: bool
    create_tags: tuple[Tag, ...]
    late_tags: tuple[Tag, ...]
    outputs: tuple[tuple[DestinationId, int], ...]
    cuttable: bool = False


async def get_run(server: Server, run_id: str) -> Run:
    """Return one run, deleted or not (``runs/get``)."""
    return (await server.get("runs/get", OneRun, {"run_id": run_id})).run


def own_ids(tag: Tag, ids: Mapping[str, str]) -> Tag:
    """Return a tag with every source id in it replaced; ids are 32 hex digits, or ``m-`` and 32 hex digits."""
    return Tag(tag.key, re.sub(r"(?:m-)?[0-9a-f]{32}", lambda found: ids.get(found[0], found[0]), tag.value))
