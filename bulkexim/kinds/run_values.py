"""Runs as MLflow sends them, and as they will stand at the destination."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import Refused
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.history import Point
from bulkexim.kinds.wire import Tag
from bulkexim.tasks import together

SOURCE_TAG = "bulkexim.source.run_id"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
#: Tags that hold ids of the run itself, known only once it is created.
OWN_ID_TAGS = ("mlflow.log-model.history",)
#: Runs of a page, and of the first one: nobody knows yet how large they are.
PAGE, FIRST = 500, 100
#: Experiments that one search names; MLflow takes thousands.
EXPERIMENTS_AT_ONCE = 500
#: Run ids that one search names.
IDS_AT_ONCE = 100
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


async def search_runs(
    server: Server, experiment_ids: Sequence[str], view: str, query: str, page: int = PAGE
) -> AsyncIterator[Sequence[Run]]:
    """Yield runs of some experiments, oldest start first, so that parents come before their children."""
    body = {
        "experiment_ids": list(experiment_ids),
        "run_view_type": view,
        "filter": query,
        "max_results": page,
        "order_by": ["attributes.start_time ASC"],
    }
    async for found in server.search("runs/search", body, RunPage, lambda reply: reply.next_page_token, first=FIRST):
        yield found.runs


async def runs_by_id(
    server: Server, experiment_ids: Sequence[str], ids: Sequence[str], query: str = "", view: str = "ALL"
) -> AsyncIterator[Sequence[Run]]:
    """Yield those of the runs ``ids`` that exist in some experiments, a hundred ids in one search."""
    # A version may name anything for its run; what is no id fits none, and its quotes would change the question.
    ids = [run_id for run_id in ids if re.fullmatch(r"[\w-]{1,256}", run_id)]
    search = partial(_runs_where, server, experiment_ids, view, query)
    for first in range(0, len(ids), IDS_AT_ONCE):
        some = ids[first : first + IDS_AT_ONCE]
        names = ", ".join(f"'{run_id}'" for run_id in some)
        try:
            async for page in search(f"attributes.run_id IN ({names})"):
                yield page
        except Refused:
            # MLflow before 2.3 does not understand a list of ids where its sqlparse is newer than 0.4.3.
            yield await _one_by_one(search, some)


async def _runs_where(
    server: Server, experiment_ids: Sequence[str], view: str, query: str, condition: str
) -> AsyncIterator[Sequence[Run]]:
    wanted = f"{condition} and {query}" if query else condition
    for start in range(0, len(experiment_ids), EXPERIMENTS_AT_ONCE):
        async for page in search_runs(server, experiment_ids[start : start + EXPERIMENTS_AT_ONCE], view, wanted):
            yield page


async def _one_by_one(search: Callable[[str], AsyncIterator[Sequence[Run]]], ids: Sequence[str]) -> Sequence[Run]:
    found: dict[SourceId, Run] = {}

    async def look(run_id: str) -> None:
        async for page in search(f"attributes.run_id = '{run_id}'"):
            found.update({run.info.run_id: run for run in page})

    async with together() as tasks:
        for run_id in ids:
            tasks.start_soon(look, run_id)
    return [found[SourceId(run_id)] for run_id in ids if run_id in found]


async def get_run(server: Server, run_id: str) -> Run:
    """Return one run, deleted or not (``runs/get``)."""
    return (await server.get("runs/get", OneRun, {"run_id": run_id})).run


def own_ids(tag: Tag, ids: Mapping[str, str]) -> Tag:
    """Return a tag with every source id in it replaced; ids are 32 hex digits, or ``m-`` and 32 hex digits."""
    return Tag(tag.key, re.sub(r"(?:m-)?[0-9a-f]{32}", lambda found: ids.get(found[0], found[0]), tag.value))
