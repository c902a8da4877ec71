"""Logged models as MLflow sends them, and how they are listed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Container, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from bulkexim.ends.page_tokens import of_logged_models
from bulkexim.ends.server import Server, segment
from bulkexim.errors import NoSuchEndpoint, NotFound, Refused
from bulkexim.ids import SourceId
from bulkexim.kinds.history import Int64, MetricValue
from bulkexim.kinds.run_search import search_runs
from bulkexim.kinds.version_values import ModelVersion, model_versions, target
from bulkexim.kinds.wire import Tag
from bulkexim.tasks import together

PAGE = 100
EXPERIMENTS_AT_ONCE = 500


class ModelMetric(msgspec.Struct, frozen=True, gc=False):
    """A metric point of a logged model, with the run that measured it; NaN reads 0.0 here."""

    key: str
    value: MetricValue = 0.0
    timestamp: Int64 = 0
    step: Int64 = 0
    run_id: SourceId = SourceId("")
    dataset_name: str = ""
    dataset_digest: str = ""


class ModelInfo(msgspec.Struct, frozen=True):
    """``LoggedModel.info``; times are in milliseconds since the epoch."""

    model_id: SourceId
    experiment_id: SourceId
    name: str = ""
    creation_timestamp_ms: int | None = None
    artifact_uri: str = ""
    status: str = "LOGGED_MODEL_PENDING"
    status_message: str = ""
    creator_id: str | int | None = None
    model_type: str = ""
    source_run_id: SourceId = SourceId("")
    tags: tuple[Tag, ...] = ()


class ModelData(msgspec.Struct, frozen=True):
    """``LoggedModel.data``."""

    params: tuple[Tag, ...] = ()
    metrics: tuple[ModelMetric, ...] = ()


class LoggedModel(msgspec.Struct, frozen=True):
    """One logged model of the source."""

    info: ModelInfo
    data: ModelData = ModelData()
    deleted: bool = False


class _Page(msgspec.Struct, frozen=True):
    models: tuple[LoggedModel, ...] = ()
    next_page_token: str | None = None


class OneModel(msgspec.Struct, frozen=True):
    """The reply to a call about one logged model."""

    model: LoggedModel


async def logged_models(
    server: Server, experiment_ids: Sequence[str], query: str = "", page: int = PAGE
) -> AsyncIterator[Sequence[LoggedModel]]:
    """Yield the logged models of some experiments, oldest first (deleted ones never show in a search)."""
    body: dict[str, Any] = {
        "experiment_ids": list(experiment_ids),
        "max_results": page,
        "order_by": [{"field_name": "creation_timestamp", "ascending": True}],
    }
    if query:
        body["filter"] = query
    path, at = "logged-models/search", of_logged_models(body)
    async for found in server.search(path, body, _Page, lambda reply: reply.next_page_token, at=at):
        yield found.models


async def every_logged_model(
    server: Server, experiments: Sequence[str], *, deleted: bool, named: AbstractSet[SourceId] = frozenset()
) -> AsyncIterator[Sequence[LoggedModel]]:
    """Yield the logged models of some experiments; then the deleted ones, which no search shows.

    These are the ones of ``named``, and with ``deleted`` those that a run still names as output.
    """
    seen: set[SourceId] = set()
    for start in range(0, len(experiments), EXPERIMENTS_AT_ONCE):
        chunk = experiments[start : start + EXPERIMENTS_AT_ONCE]
        active: set[SourceId] = set()
        async for page in logged_models(server, chunk):
            ids = {model.info.model_id for model in page}
            active |= ids if deleted else set()
            seen |= ids & named
            yield page
        if deleted:
            async for found in deleted_logged_models(server, chunk, active | seen):
                seen |= {model.info.model_id for model in found}
                yield found
    yield await _deleted(server, named - seen, experiments)


async def deleted_logged_models(
    server: Server, experiments: Sequence[str], seen: AbstractSet[SourceId] = frozenset()
) -> AsyncIterator[list[LoggedModel]]:
    """Yield deleted logged models but those ``seen``: no search shows them, only outputs of runs still name them."""
    known = set(seen)
    async for runs in search_runs(server, experiments, "ALL", ""):
        outputs = {link.model_id for run in runs for link in run.outputs.model_outputs} - known
        known |= outputs
        yield await _deleted(server, outputs, experiments)


async def _deleted(server: Server, ids: AbstractSet[SourceId], experiments: Container[str]) -> list[LoggedModel]:
    """Return those of some logged models that are deleted and belong to one of ``experiments``."""
    found = [await _if_deleted(server, model_id) for model_id in sorted(ids)]
    return [model for model in found if model is not None and model.info.experiment_id in experiments]


async def _if_deleted(server: Server, model_id: SourceId) -> LoggedModel | None:
    try:
        model = await get_logged_model(server, model_id)
    except Refused:
        return None  # Gone for good, or the server is too old to show it.
    return model if model.deleted else None


async def models_by_id(
    server: Server, experiments: Sequence[str], ids: Sequence[SourceId]
) -> AsyncIterator[Sequence[LoggedModel]]:
    """Yield those of the logged models ``ids`` that a server has, a hundred ids in one search of ``experiments``.

    What no search shows is asked for by itself: it is deleted, or in another experiment, or gone for good.
    """
    # A version may name anything for its logged model; what is no id fits none, and would change the question.
    ids = [model_id for model_id in ids if re.fullmatch(r"[\w-]{1,256}", model_id)]
    for first in range(0, len(ids), PAGE):
        missing = dict.fromkeys(ids[first : first + PAGE])
        async for found in _shown(server, experiments, list(missing)):
            for model in found:
                missing.pop(model.info.model_id, None)
            yield found
        yield await _one_by_one(server, list(missing))


async def _shown(
    server: Server, experiments: Sequence[str], ids: Sequence[SourceId]
) -> AsyncIterator[Sequence[LoggedModel]]:
    """Yield those of some logged models that a search shows."""
    query = f"model_id IN ({', '.join(map(repr, ids))})"
    try:
        for start in range(0, len(experiments), EXPERIMENTS_AT_ONCE):
            async for found in logged_models(server, experiments[start : start + EXPERIMENTS_AT_ONCE], query):
                yield found
    except Refused:
        return  # A file store does not understand a list of ids.


async def _one_by_one(server: Server, ids: Sequence[SourceId]) -> list[LoggedModel]:
    found: list[LoggedModel] = []

    async def look(model_id: SourceId) -> None:
        model = await _found_model(server, model_id)
        if model is not None:
            found.append(model)

    async with together() as tasks:
        for model_id in ids:
            tasks.start_soon(look, model_id)
    return found


async def _found_model(server: Server, model_id: SourceId) -> LoggedModel | None:
    try:
        return await get_logged_model(server, model_id)
    except (NotFound, NoSuchEndpoint):
        return None


async def models_of_versions(
    server: Server, counts: Callable[[ModelVersion], bool] = lambda _: True
) -> AbstractSet[SourceId]:
    """Return the logged models to which the versions of a server point; ``counts`` says which versions matter.

    Nothing is asked of a server that shows no deleted logged model, for these are what it is needed for.
    """
    if not server.capabilities.shows_deleted_logged_models:
        return set()
    found: set[SourceId] = set()
    async for page in model_versions(server):
        targets = (target(version.source) for version in page if counts(version))
        found |= {to.id for to in targets if to.kind == "logged_model"}
    return found


async def get_logged_model(server: Server, model_id: str) -> LoggedModel:
    """Return one logged model; a deleted one too where the server can (MLflow 3.7 and later)."""
    path = model_path(model_id)
    try:
        return (await server.get(path, OneModel)).model
    except NotFound:
        found = (await server.get(path, OneModel, {"allow_deleted": "true"})).model
        return msgspec.structs.replace(found, deleted=True)


def model_path(model_id: str | None) -> str:
    """Return the route of a logged model."""
    return f"logged-models/{segment(model_id or '')}"
