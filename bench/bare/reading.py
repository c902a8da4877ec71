"""Reads everything that a workload holds, with as few requests as MLflow's API allows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from bench.bare.wire import API, SERVICE, Wire

PAGE = 1000
#: The route of MLflow's own pages, which costs the server half of what the documented one does.
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
#: Runs that one bulk history names, and points of each with which all of them fit into one reply (25,000 points).
RUNS_AT_ONCE, FITTING = 100, 250
HISTORY_PAGE = 10_000
PROXIED = "mlflow-artifacts:/"

Document = dict[str, Any]


@dataclass(slots=True)
class Everything:
    """What a server held: documents of searches decoded, histories and files as the bytes that came."""

    experiments: list[Document] = field(default_factory=list)
    runs: list[Document] = field(default_factory=list)
    histories: list[bytes] = field(default_factory=list)
    #: Replies that do not name their run, which is the key.
    long_histories: dict[str, list[bytes]] = field(default_factory=dict)
    #: Files by the id of their run and their path below its root.
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    models: list[Document] = field(default_factory=list)
    versions: list[Document] = field(default_factory=list)


async def read_everything(source: Wire) -> Everything:
    """Return all that a workload consists of; one with folders below the roots of runs is none of ours."""
    found = Everything()
    searched = {"max_results": PAGE, "view_type": "ALL"}
    found.experiments = [one async for one in _search(source, "experiments/search", searched, "experiments")]
    ids = [one["experiment_id"] for one in found.experiments]
    wanted = {"max_results": PAGE, "experiment_ids": ids, "order_by": ["attributes.start_time ASC"]}
    found.runs = [one async for one in _search(source, "runs/search", wanted, "runs")]
    await _histories(source, found)
    await _files(source, found)
    found.models = [one async for one in _list(source, "registered-models/search", "registered_models")]
    found.versions = [one async for one in _list(source, "model-versions/search", "model_versions")]
    return found


async def _search(source: Wire, path: str, body: Document, what: str) -> AsyncIterator[Document]:
    token = ""
    while True:
        reply = await source.post(path, msgspec.json.encode(body | ({"page_token": token} if token else {})))
        for one in reply.get(what, ()):
            yield one
        if not (token := reply.get("next_page_token", "")):
            return


async def _list(source: Wire, path: str, what: str) -> AsyncIterator[Document]:
    token = ""
    while True:
        query = f"?max_results={PAGE}&order_by=name%20ASC" + (f"&page_token={quote(token, safe='')}" if token else "")
        reply = msgspec.json.decode(await source.ask("GET", API + path + query))
        for one in reply.get(what, ()):
            yield one
        if not (token := reply.get("next_page_token", "")):
            return


async def _histories(source: Wire, found: Everything) -> None:
    together: list[tuple[str, Sequence[str]]] = []
    alone: list[tuple[str, str]] = []
    for first in range(0, len(found.runs), RUNS_AT_ONCE):
        by_key: dict[str, list[str]] = {}
        for run in found.runs[first : first + RUNS_AT_ONCE]:
            for last in run["data"].get("metrics", ()):
                if last["step"] + 1 < FITTING:
                    by_key.setdefault(last["key"], []).append(run["info"]["run_id"])
                else:
                    alone.append((run["info"]["run_id"], last["key"]))
        together += by_key.items()

    async def bulk(job: tuple[str, Sequence[str]]) -> None:
        key, runs = job
        ids = "".join(f"&run_id={run}" for run in runs)
        found.histories.append(await source.ask("GET", f"{BULK}?metric_key={quote(key)}{ids}"))

    async def one(job: tuple[str, str]) -> None:
        found.long_histories.setdefault(job[0], []).extend([page async for page in _history(source, *job)])

    await source.each(together, bulk)
    await source.each(alone, one)


async def _history(source: Wire, run: str, key: str) -> AsyncIterator[bytes]:
    token = ""
    while True:
        query = f"?run_id={run}&metric_key={quote(key)}&max_results={HISTORY_PAGE}"
        page = await source.ask("GET", f"{API}metrics/get-history{query}&page_token={quote(token, safe='')}")
        yield page
        if not (token := msgspec.json.decode(page).get("next_page_token", "")):
            return


async def _files(source: Wire, found: Everything) -> None:
    roots = {run["info"]["run_id"]: root_of(run) for run in found.runs}
    folders = [experiment["artifact_location"].removeprefix(PROXIED) for experiment in found.experiments]
    with_files: set[str] = set()
    paths: list[tuple[str, str]] = []

    async def runs_of(folder: str) -> None:
        with_files.update([entry["path"] for entry in await listing(source, folder)])

    async def files_of(run: str) -> None:
        paths.extend([(run, entry["path"]) for entry in await listing(source, roots[run])])

    async def content(job: tuple[str, str]) -> None:
        run, path = job
        found.files[job] = await source.ask("GET", f"{SERVICE}/{quote(f'{roots[run]}/{path}')}")

    await source.each(folders, runs_of)
    await source.each([run for run in roots if run in with_files], files_of)
    await source.each(paths, content)


async def listing(source: Wire, folder: str) -> list[Document]:
    """Return what stands directly in a folder of the artifact service."""
    reply = msgspec.json.decode(await source.ask("GET", f"{SERVICE}?path={quote(folder, safe='')}"))
    entries: list[Document] = reply.get("files", [])
    return entries


def root_of(run: Document) -> str:
    """Return the path of a run's artifact root at the artifact service."""
    uri: str = run["info"]["artifact_uri"]
    return uri.removeprefix(PROXIED)
