"""What a server lists and shows, as a comparison asks for it: page after page, and nothing foretold.

None of the mover's listings is used, so what one of them misses is not missed here too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from bulkexim.ends.page_tokens import of_logged_models, offset_of, token_at
from bulkexim.ends.server import Server, segment
from bulkexim.errors import BadReply, CallError, Lost, NotFound, Refused, ReplyTooLarge, TimedOut
from bulkexim.http.retry import Divisible
from bulkexim.kinds.compare.records import Experiment, LoggedModel, RegisteredModel, Run, Version
from bulkexim.tasks import together

V = TypeVar("V")
Page = TypeVar("Page")
#: Asks for the page of a token, of at most so many objects.
Ask = Callable[[str | None, int], Awaitable[Page]]
#: Goes on behind a row that cannot be read.
Skip = Callable[[str | None, CallError], str]

#: Objects of a page; a logged model comes with all of its metrics.
PAGE, RUNS, MODELS = 1000, 500, 100
#: Experiments that one search names.
EXPERIMENTS = 500
#: A page that has more bytes than this is asked for with fewer objects, as is one that fails so often.
LARGE = Divisible(16_000_000, 3)
#: Rows in a row that are left out because they cannot be read.
SKIPPED = 20


class _Pages(msgspec.Struct, frozen=True):
    """A page of any listing."""

    experiments: tuple[Experiment, ...] = ()
    runs: tuple[Run, ...] = ()
    models: tuple[LoggedModel, ...] = ()
    registered_models: tuple[RegisteredModel, ...] = ()
    model_versions: tuple[Version, ...] = ()
    next_page_token: str | None = None


class _One(msgspec.Struct, frozen=True):
    """A single object of any kind."""

    experiment: Experiment | None = None
    run: Run | None = None
    model: LoggedModel | None = None
    registered_model: RegisteredModel | None = None
    model_version: Version | None = None


async def experiments(server: Server) -> AsyncIterator[Sequence[Experiment]]:
    """Yield every experiment, deleted or not.

    Which are deleted is asked for where a file store may be behind the server: one that MLflow 1 wrote does not say it
    of an experiment, but it knows.
    """
    for view in ["ALL"] if server.capabilities.database else ["ACTIVE_ONLY", "DELETED_ONLY"]:
        body = {"view_type": view, "order_by": ["experiment_id ASC"]}
        async for page in _searched(server, "experiments/search", body, PAGE):
            yield [
                msgspec.structs.replace(one, lifecycle_stage="deleted") if view == "DELETED_ONLY" else one
                for one in page.experiments
            ]


async def runs(server: Server, homes: Sequence[str], view: str, query: str = "") -> AsyncIterator[Sequence[Run]]:
    """Yield the runs of some experiments, the oldest first; ``view`` is ACTIVE_ONLY or ALL."""
    given = {"run_view_type": view, "filter": query, "order_by": ["attributes.start_time ASC"]}
    for start in range(0, len(homes), EXPERIMENTS):
        body = {**given, "experiment_ids": list(homes[start : start + EXPERIMENTS])}
        async for page in _searched(server, "runs/search", body, RUNS):
            yield page.runs


async def logged_models(
    server: Server, homes: Sequence[str], size: int = MODELS
) -> AsyncIterator[Sequence[LoggedModel]]:
    """Yield the logged models of some experiments; no search shows a deleted one."""
    for start in range(0, len(homes), EXPERIMENTS):
        order = [{"field_name": "creation_timestamp", "ascending": True}]
        body = {"experiment_ids": list(homes[start : start + EXPERIMENTS]), "order_by": order}
        async for page in _searched(server, "logged-models/search", body, size):
            yield page.models


async def registered_models(server: Server) -> AsyncIterator[Sequence[RegisteredModel]]:
    """Yield every registered model; prompts, which live in the same table, are left out by the server."""
    if not server.capabilities.registry:
        return
    async for page in _got(server, "registered-models/search", [("order_by", "name ASC")], PAGE):
        yield page.registered_models


async def versions(server: Server, query: str = "") -> AsyncIterator[Sequence[Version]]:
    """Yield the versions of every registered model; what the source registers meanwhile does not shift their pages."""
    if not server.capabilities.registry:
        return
    given = [("order_by", "name ASC"), ("order_by", "version_number ASC"), *([("filter", query)] if query else [])]
    async for page in _got(server, "model-versions/search", given, PAGE):
        yield page.model_versions


async def versions_of(server: Server, name: str, numbers: Iterable[str]) -> dict[str, Version]:
    """Return some versions of a registered model, by their numbers; those that are not there are absent."""
    if not set("'\"\\") & set(name):
        pages = versions(server, f"name = '{name}'")
        return {found.version: found async for page in pages for found in page if found.name == name}
    # No filter can hold such a name, so each version is asked for by itself.
    found = {number: await _of(server, "model-versions/get", {"name": name, "version": number}) for number in numbers}
    return {number: one.model_version for number, one in found.items() if one and one.model_version}


async def experiment(server: Server, experiment_id: str) -> Experiment | None:
    """Return one experiment, deleted or not; ``None`` where it does not exist."""
    one = await _of(server, "experiments/get", {"experiment_id": experiment_id})
    return one.experiment if one else None


async def experiment_named(server: Server, name: str) -> Experiment | None:
    """Return the experiment of a name."""
    one = await _of(server, "experiments/get-by-name", {"experiment_name": name})
    return one.experiment if one else None


async def run(server: Server, run_id: str) -> Run | None:
    """Return one run, deleted or not, with all it read and wrote."""
    one = await _of(server, "runs/get", {"run_id": run_id}, odd=True)
    return one.run if one else None


async def runs_of(server: Server, homes: Sequence[str], ids: Sequence[str]) -> dict[str, Run]:
    """Return runs of some experiments by their ids, as a search shows them; those that are not there are absent."""
    query = f"attributes.run_id IN ({', '.join(map(repr, ids))})"
    try:
        return {found.info.run_id: found async for page in runs(server, homes, "ALL", query) for found in page}
    except Refused:  # Servers before 2.10 with a newer parser of SQL do not take more than one id.
        return await each(lambda run_id: run(server, run_id), ids)


async def logged_model(server: Server, model_id: str) -> LoggedModel | None:
    """Return one logged model; a deleted one too, where the server shows it (MLflow 3.7 and later)."""
    path = f"logged-models/{segment(model_id)}"
    if found := await _of(server, path, {}):
        return found.model
    found = await _of(server, path, {"allow_deleted": "true"}, odd=True)
    return msgspec.structs.replace(found.model, deleted=True) if found and found.model else None


async def registered_model(server: Server, name: str) -> RegisteredModel | None:
    """Return one registered model; ``None`` also where no model can have such a name."""
    one = await _of(server, "registered-models/get", {"name": name}, odd=True)
    return one.registered_model if one else None


async def each(read: Callable[[str], Awaitable[V | None]], ids: Iterable[str]) -> dict[str, V]:
    """Read some objects side by side, and return those that are there, by the ids they were asked for by."""
    found: dict[str, V] = {}

    async def one(asked: str) -> None:
        value = await read(asked)
        if value is not None:
            found[asked] = value

    async with together() as tasks:
        for asked in ids:
            tasks.start_soon(one, asked)
    return found


async def _of(server: Server, path: str, params: dict[str, str], *, odd: bool = False) -> _One | None:
    """Ask for one object; with ``odd``, a question that the server does not understand means that it is not there."""
    try:
        return await server.get(path, _One, params)
    except NotFound:
        return None
    except Refused as error:
        if odd and error.status != HTTPStatus.FORBIDDEN:
            return None  # A version may name anything for its run, and an older server knows no deleted models.
        raise


def _searched(server: Server, path: str, body: dict[str, Any], size: int) -> AsyncIterator[_Pages]:
    async def ask(token: str | None, size: int) -> _Pages:
        given = {**body, "max_results": size} | ({"page_token": token} if token else {})
        return await server.post(path, given, _Pages, divisible=LARGE if size > 1 else None)

    after = of_logged_models(body) if path == "logged-models/search" else token_at
    return _pages(ask, path, size, _skipping(server, path, after))


def _got(server: Server, path: str, params: Sequence[tuple[str, str | int]], size: int) -> AsyncIterator[_Pages]:
    async def ask(token: str | None, size: int) -> _Pages:
        given = [*params, ("max_results", size), *([("page_token", token)] if token else [])]
        return await server.get(path, _Pages, given, divisible=LARGE if size > 1 else None)

    return _pages(ask, path, size, _skipping(server, path, token_at))


def _skipping(server: Server, path: str, at: Callable[[int], str]) -> Skip:
    """Return what leaves out a row that the source cannot read, notes it, and gives the token of the next."""

    def skip(token: str | None, error: CallError) -> str:
        offset, leave_out = offset_of(token), server.leave_out(path)
        if offset is None or leave_out is None:
            raise error
        leave_out(offset, error)
        return at(offset + 1)

    return skip


async def _pages(ask: Ask[_Pages], path: str, size: int, skip: Skip) -> AsyncIterator[_Pages]:
    """Yield pages to the last, smaller ones where a server cannot give them as large.

    :raises BadReply: a token comes again, so that the pages would never end
    :raises CallError: a page cannot be read
    """
    token: str | None = None
    seen: set[str] = set()
    skipped, most = 0, size
    while True:
        try:
            page = await ask(token, size)
        except (Lost, ReplyTooLarge) as error:
            if size == 1:
                skipped += 1
                if skipped > SKIPPED:
                    raise
                token = skip(token, error)
            size = max(1, size // 8)
            if isinstance(error, TimedOut | ReplyTooLarge):
                most = size
            continue
        yield page
        skipped, token, size = 0, page.next_page_token, min(most, size * 2)
        if not token:
            return
        if token in seen:
            raise BadReply(f"{path}: the server repeats the page token {token!r}, so its pages would never end.")
        seen.add(token)
