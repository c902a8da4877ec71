"""Kinds that are not moved yet: counted at the source, so that nothing is left behind in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import CallError, FatalError
from bulkexim.kinds.registered_model import registered_models

#: Traces are counted up to this many, for a server lists them slowly.
TRACES_COUNTED = 10_000
TRACE_PAGE = 500
LOCATIONS_AT_ONCE = 100


class Uncarried(NamedTuple):
    """How many objects of a kind stay behind; ``more`` says that they were not counted to the end."""

    kind: str
    objects: int
    more: bool = False


class _Traces(msgspec.Struct, frozen=True):
    traces: tuple[msgspec.Raw, ...] = ()
    next_page_token: str | None = None


class _Listing(msgspec.Struct, frozen=True):
    datasets: tuple[msgspec.Raw, ...] = ()
    scorers: tuple[msgspec.Raw, ...] = ()
    webhooks: tuple[msgspec.Raw, ...] = ()
    issues: tuple[msgspec.Raw, ...] = ()
    endpoints: tuple[msgspec.Raw, ...] = ()
    mcp_servers: tuple[msgspec.Raw, ...] = ()
    next_page_token: str | None = None

    def __len__(self) -> int:
        groups = (self.datasets, self.scorers, self.webhooks, self.issues, self.endpoints, self.mcp_servers)
        return sum(len(group) for group in groups)


#: Kind, method and route; each lists every object of the tenant.
_LISTINGS = (
    ("evaluation_dataset", "POST", "/api/3.0/mlflow/datasets/search"),
    ("scorer", "GET", "/api/3.0/mlflow/scorers/list"),
    ("webhook", "GET", "/api/2.0/mlflow/webhooks"),
    ("issue", "POST", "/api/3.0/mlflow/issues/search"),
    ("gateway_endpoint", "GET", "/api/3.0/mlflow/gateway/endpoints/list"),
    ("mcp_server", "GET", "/api/3.0/mlflow/mcp-servers"),
)


async def uncarried(source: Server, experiment_ids: Sequence[str]) -> AsyncIterator[Uncarried]:
    """Yield the kinds of which the source holds something that stays behind.

    Label schemas and review queues are not counted: listing the former writes to the server, and the latter takes a
    request for each experiment.
    """
    if source.capabilities.traces:
        traces = await _traces(source, experiment_ids)
        if traces:
            yield Uncarried("trace", traces, more=traces >= TRACES_COUNTED)
    prompts = 0
    async for page in registered_models(source, "tags.`mlflow.prompt.is_prompt` = 'true'"):
        prompts += len(page)
    if prompts:
        yield Uncarried("prompt", prompts)
    for kind, method, path in _LISTINGS:
        found = await _count(source, kind, method, path)
        if found.objects or found.more:
            yield found


async def _count(source: Server, kind: str, method: str, path: str) -> Uncarried:
    found = 0
    try:
        if method == "GET":
            return Uncarried(kind, len(await source.get(path, _Listing)))
        async for page in source.search(path, {"max_results": 1000}, _Listing, lambda reply: reply.next_page_token):
            found += len(page)
    except FatalError:
        return Uncarried(kind, 0)
    except CallError as error:
        # An older server, or a part that is switched off, holds nothing of the kind; one that is in trouble may.
        return Uncarried(kind, found, more=not error.definite)
    return Uncarried(kind, found)


async def _traces(source: Server, experiment_ids: Sequence[str]) -> int:
    found = 0
    for start in range(0, len(experiment_ids), LOCATIONS_AT_ONCE):
        chunk = experiment_ids[start : start + LOCATIONS_AT_ONCE]
        locations = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": one}} for one in chunk]
        body = {"locations": locations, "max_results": TRACE_PAGE}
        path = "/api/3.0/mlflow/traces/search"
        async for page in source.search(path, body, _Traces, lambda reply: reply.next_page_token):
            found += len(page.traces)
            if found >= TRACES_COUNTED:
                return found
    return found
