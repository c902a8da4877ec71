"""Lists and looks for runs (``runs/search``)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from operator import attrgetter

from bulkexim.ends.server import Server
from bulkexim.errors import Refused
from bulkexim.ids import SourceId
from bulkexim.kinds.run_neighbours import Neighbours
from bulkexim.kinds.run_values import EXPERIMENTS_AT_ONCE, Run, RunPage
from bulkexim.tasks import together

#: Runs of a page, and of the first one: nobody knows yet how large they are.
PAGE, FIRST = 500, 100
#: Run ids that one search names.
IDS_AT_ONCE = 100


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
    neighbours = Neighbours(server, body)
    token = attrgetter("next_page_token")
    pages = server.search("runs/search", body, RunPage, token, first=FIRST, leave_out=neighbours.leave_out)
    try:
        async for found in pages:
            neighbours.listed(found)
            yield found.runs
        if others := await neighbours.found():
            yield others
    finally:
        neighbours.note(server.leave_out("runs/search"))


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
