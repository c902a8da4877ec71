"""Kinds that are not moved yet: counted at the source, so that nothing is left behind in silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from bulkexim.config import Settings
from bulkexim.ends.server import Server
from bulkexim.errors import BulkeximError, NoSuchEndpoint, Refused
from bulkexim.kinds.experiment import Experiment
from bulkexim.kinds.registered_model import registered_models
from bulkexim.kinds.scope import chosen

#: Traces are counted up to this many, for a server lists them slowly.
TRACES_COUNTED = 10_000
TRACE_PAGE = 100
EXPERIMENTS_AT_ONCE = 100
PAGE = 1000
IS_PROMPT = "tags.`mlflow.prompt.is_prompt` = 'true'"


class Counted(NamedTuple):
    """How many objects of a kind stay behind.

    ``more`` says that there are more than were counted, ``problem`` why they could not be counted to the end.
    """

    kind: str
    objects: int
    more: bool = False
    problem: str = ""


class _Listing(msgspec.Struct, frozen=True):
    """A reply of any of the listings: each has one of the groups."""

    traces: tuple[msgspec.Raw, ...] = ()
    datasets: tuple[msgspec.Raw, ...] = ()
    scorers: tuple[msgspec.Raw, ...] = ()
    webhooks: tuple[msgspec.Raw, ...] = ()
    issues: tuple[msgspec.Raw, ...] = ()
    endpoints: tuple[msgspec.Raw, ...] = ()
    mcp_servers: tuple[msgspec.Raw, ...] = ()
    next_page_token: str | None = None

    def __len__(self) -> int:
        groups = (self.traces, self.datasets, self.scorers, self.webhooks, self.issues, self.endpoints)
        return sum(map(len, groups)) + len(self.mcp_servers)


Counts = AsyncIterator[int]


@dataclass(frozen=True, slots=True)
class UnsupportedKinds:
    """Counts what the source holds of each kind that stays behind; what nobody selected is not counted."""

    source: Server
    settings: Settings
    selected: Sequence[Experiment]
    registry: bool

    @property
    def _listing(self) -> Server:
        """The source, which says of a kind that it could not be counted, and not of each row that it cannot read."""
        return replace(self.source, unread=None)

    async def counted(self) -> AsyncIterator[Counted]:
        """Yield the kinds of which something stays behind, or of which that could not be found out.

        Label schemas and review queues are not counted: listing the former writes to the server, and the latter takes a
        request for each experiment.
        """
        for kind, counts in self._listings():
            found = await _sum(kind, counts)
            if found.objects or found.problem:
                yield found

    def _listings(self) -> Iterator[tuple[str, Counts]]:
        if self.selected:
            yield "trace", self._traces()
        if self.registry:
            yield "prompt", self._prompts()
        if self.source.capabilities.file_store:
            return  # A file store can hold none of the others (``mlflow.store.tracking.file_store``).
        if self.selected:
            yield "evaluation_dataset", self._datasets()
            yield "scorer", self._scorers()
            yield "issue", self._issues()
        if self.settings.everything:
            yield "webhook", self._listed("/api/2.0/mlflow/webhooks", [("max_results", PAGE)])
            yield "gateway_endpoint", self._listed("/api/3.0/mlflow/gateway/endpoints/list", [])
            yield "mcp_server", self._listed("/api/3.0/mlflow/mcp-servers", [("max_results", PAGE)])

    async def _listed(self, path: str, params: Sequence[tuple[str, str | int]]) -> Counts:
        async for page in self._listing.list(path, params, _Listing, lambda reply: reply.next_page_token):
            yield len(page)

    async def _searched(self, path: str, body: dict[str, object]) -> Counts:
        async for page in self._listing.search(path, body, _Listing, lambda reply: reply.next_page_token):
            yield len(page)

    async def _traces(self) -> Counts:
        for ids in self._experiments():
            if self.source.capabilities.traces:
                places = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": one}} for one in ids]
                counts = self._searched(
                    "/api/3.0/mlflow/traces/search", {"locations": places, "max_results": TRACE_PAGE}
                )
            else:  # From 2.14 to 3.1 there is only the second version of the API; before that there are no traces.
                named: list[tuple[str, str | int]] = [("experiment_ids", one) for one in ids]
                counts = self._listed("/api/2.0/mlflow/traces", [*named, ("max_results", TRACE_PAGE)])
            async for number in counts:
                yield number

    async def _prompts(self) -> Counts:
        patterns = self.settings.models
        async for page in registered_models(self._listing, IS_PROMPT):
            yield sum(chosen(patterns, prompt.name) for prompt in page)

    async def _datasets(self) -> Counts:
        # The search takes experiments too, but shows a dataset again for each experiment it belongs to.
        body: dict[str, object] = {"max_results": PAGE}
        if self.settings.experiments is not None:
            body["experiment_ids"] = [found.experiment_id for found in self.selected]
        async for number in self._searched("/api/3.0/mlflow/datasets/search", body):
            yield number

    async def _scorers(self) -> Counts:
        path = "/api/3.0/mlflow/scorers/list"
        active = [found.experiment_id for found in self.selected if not found.deleted]
        for ids in _chunks(active):
            try:
                async for number in self._listed(path, [("experiment_ids", one) for one in ids]):
                    yield number
            except NoSuchEndpoint:
                raise
            except Refused:  # An older server lists the scorers of one experiment at a time.
                for one in ids:
                    async for number in self._listed(path, [("experiment_id", one)]):
                        yield number

    async def _issues(self) -> Counts:
        only = [None] if self.settings.experiments is None else [found.experiment_id for found in self.selected]
        for one in only:
            body: dict[str, object] = {"max_results": PAGE, **({"experiment_id": one} if one else {})}
            async for number in self._searched("/api/3.0/mlflow/issues/search", body):
                yield number

    def _experiments(self) -> Iterator[Sequence[str]]:
        return _chunks([found.experiment_id for found in self.selected])


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), EXPERIMENTS_AT_ONCE):
        yield ids[start : start + EXPERIMENTS_AT_ONCE]


async def _sum(kind: str, counts: Counts) -> Counted:
    """Add up the pages of a kind; a server that lacks its route holds nothing of it."""
    found = 0
    try:
        async for number in counts:
            found += number
            if kind == "trace" and found >= TRACES_COUNTED:
                return Counted(kind, found, more=True)
    except NoSuchEndpoint:
        return Counted(kind, found)
    except BulkeximError as error:
        # Whatever it is, the report of what was moved must not be lost for a count.
        return Counted(kind, found, more=True, problem=error.problem)
    return Counted(kind, found)
