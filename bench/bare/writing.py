"""Writes everything that was read: bodies made in memory before, so that only requests take time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from urllib.parse import quote

import msgspec

from bench.bare.reading import Document, Everything, root_of
from bench.bare.wire import BYTES, SERVICE, Wire

#: Entries of one log-batch call, and params among them.
BATCH, PARAMS = 1000, 100
DEFAULT = "Default"
PARENT_TAG = "mlflow.parentRunId"


@dataclass(slots=True)
class NewRun:
    """The bodies that write a run; ids of the destination are put before them.

    ``parent`` is the id of a run that is moved too; the destination's takes its place in ``create``.
    """

    id: str
    parent: str
    experiment: str
    create: bytes
    batches: list[bytes]
    files: list[tuple[str, bytes]]
    update: bytes


@dataclass(slots=True)
class Prepared:
    """Everything that is to be sent, in the order of sending; versions by their model, in order."""

    experiments: list[tuple[str, bytes]]
    runs: list[NewRun]
    models: list[bytes]
    versions: list[list[Document]]


@dataclass(slots=True)
class _Ids:
    """What became of the ids and roots of the source."""

    experiments: dict[str, str] = field(default_factory=lambda: {"0": "0"})
    runs: dict[str, str] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)


def prepared(found: Everything) -> Prepared:
    """Make the bodies of all requests."""
    points = _points(found)
    files: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for (run, path), content in found.files.items():
        files[run].append((path, content))
    known = {run["info"]["run_id"] for run in found.runs}
    versions = sorted(found.versions, key=lambda one: (one["name"], int(one["version"])))
    return Prepared(
        experiments=[
            (one["experiment_id"], _json(name=one["name"], tags=one.get("tags", [])))
            for one in found.experiments
            if one["name"] != DEFAULT
        ],
        runs=[_run(run, known, points[run["info"]["run_id"]], files[run["info"]["run_id"]]) for run in found.runs],
        models=[_json(name=one["name"], description=one.get("description", "")) for one in found.models],
        versions=[list(group) for _, group in groupby(versions, key=lambda one: one["name"])],
    )


class _Point(msgspec.Struct, gc=False):
    """A metric point, which takes a third of the memory of a dictionary; W3 has ten million."""

    key: str
    value: float
    timestamp: int
    step: int


class _PointOfRun(_Point, gc=False):
    run_id: str


class _Page(msgspec.Struct):
    metrics: list[_Point] = []


class _Bulk(msgspec.Struct):
    metrics: list[_PointOfRun] = []


def _points(found: Everything) -> dict[str, list[_Point]]:
    points: dict[str, list[_Point]] = defaultdict(list)
    for reply in found.histories:
        for point in msgspec.json.decode(reply, type=_Bulk).metrics:
            points[point.run_id].append(_Point(point.key, point.value, point.timestamp, point.step))
    for run, pages in found.long_histories.items():
        for page in pages:
            points[run] += msgspec.json.decode(page, type=_Page).metrics
    return points


def _run(run: Document, known: Container[str], points: list[_Point], files: list[tuple[str, bytes]]) -> NewRun:
    info, data = run["info"], run["data"]
    parent = next((tag["value"] for tag in data.get("tags", []) if tag["key"] == PARENT_TAG), "")
    new = {key: info.get(key) for key in ("run_name", "user_id", "start_time")}
    return NewRun(
        id=info["run_id"],
        parent=parent if parent in known else "",
        experiment=info["experiment_id"],
        create=_json(**new, tags=data.get("tags", [])),
        batches=[_json(**batch) for batch in _batches(data.get("params", []), points)],
        files=[(quote(path), content) for path, content in files],
        update=_json(status=info["status"], end_time=info.get("end_time")),
    )


def _batches(params: list[Document], points: list[_Point]) -> Iterator[dict[str, Any]]:
    """Yield the entries of as few log-batch calls as will do."""
    while params or points:
        now, params = params[:PARAMS], params[PARAMS:]
        room = BATCH - len(now)
        yield {"params": now, "metrics": points[:room]}
        points = points[room:]


async def write_everything(destination: Wire, ready: Prepared) -> None:
    """Send everything: experiments, then runs, parents first, then models with their versions in order."""
    ids = _Ids()

    async def experiment(job: tuple[str, bytes]) -> None:
        reply = await destination.post("experiments/create", job[1])
        ids.experiments[job[0]] = reply["experiment_id"]

    async def run(job: NewRun) -> None:
        await _write_run(destination, job, ids)

    async def model(body: bytes) -> None:
        await destination.post("registered-models/create", body)

    async def versions(of_one_model: list[Document]) -> None:
        for version in of_one_model:
            await destination.post("model-versions/create", _version(version, ids))

    await destination.each(ready.experiments, experiment)
    await destination.each([job for job in ready.runs if not job.parent], run)
    await destination.each([job for job in ready.runs if job.parent], run)
    await destination.each(ready.models, model)
    await destination.each(ready.versions, versions)


async def _write_run(destination: Wire, job: NewRun, ids: _Ids) -> None:
    body = _before(job.create, "experiment_id", ids.experiments[job.experiment])
    if job.parent:
        body = body.replace(job.parent.encode(), ids.runs[job.parent].encode())
    created = await destination.post("runs/create", body)
    run_id, root = created["run"]["info"]["run_id"], root_of(created["run"])
    ids.runs[job.id], ids.roots[job.id] = run_id, created["run"]["info"]["artifact_uri"]
    for batch in job.batches:
        await destination.post("runs/log-batch", _before(batch, "run_id", run_id))
    for path, content in job.files:
        await destination.ask("PUT", f"{SERVICE}/{root}/{path}", content, BYTES)
    await destination.post("runs/update", _before(job.update, "run_id", run_id))


def _version(version: Document, ids: _Ids) -> bytes:
    run = version["run_id"]
    path = version["source"].rpartition(f"/{run}/artifacts")[2]
    return _json(name=version["name"], source=ids.roots[run] + path, run_id=ids.runs[run])


def _json(**body: Any) -> bytes:
    return msgspec.json.encode(body)


def _before(body: bytes, key: str, value: str) -> bytes:
    """Put one key before the others of a JSON object."""
    return b'{"%s":"%s",%s' % (key.encode(), value.encode(), body[1:])
