"""Fills a server with the workload W1: runs with params, metrics and files, and registered models over them."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import anyio

from bulkexim.config import Endpoint
from bulkexim.ends.server import Nothing, Server, connected
from bulkexim.kinds.run_values import OneRun
from bulkexim.tasks import together

#: 2026-01-01, in milliseconds since the epoch.
START = 1_767_225_600_000
FILE_BYTES = 2_000
AT_ONCE = 8


class Size(NamedTuple):
    """How much of everything: runs, what each holds, and the registry."""

    runs: int = 1000
    params: int = 20
    metrics: int = 10
    points: int = 50
    files: int = 4
    models: int = 20
    versions: int = 10
    experiments: int = 10


async def fill(url: str, size: Size, seed: int = 1) -> None:
    """Write the workload to an empty server, the same for the same seed."""
    async with connected(Endpoint(uri=url), "source") as server:
        experiments = [await _experiment(server, f"experiment {number}") for number in range(size.experiments)]
        roots: list[tuple[str, str]] = [("", "")] * size.runs
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - a workload, not a secret
                roots[number] = await _run(server, experiments[number % len(experiments)], number, size, chance)

        async with together() as tasks:
            for number in range(size.runs):
                tasks.start_soon(one, number)
        for model in range(size.models):
            await server.post("registered-models/create", {"name": f"model-{model}"}, Nothing)
            for version in range(size.versions):
                run_id, root = roots[(model * size.versions + version) % size.runs]
                body = {"name": f"model-{model}", "source": f"{root}/file-0.bin", "run_id": run_id}
                await server.post("model-versions/create", body, Nothing)


async def _experiment(server: Server, name: str) -> str:
    created = await server.post("experiments/create", {"name": name}, dict[str, str])
    return created["experiment_id"]


async def _run(server: Server, experiment: str, number: int, size: Size, chance: random.Random) -> tuple[str, str]:
    start = START + number * 60_000
    new = {"experiment_id": experiment, "run_name": f"run {number}", "start_time": start, "user_id": "bench"}
    info = (await server.post("runs/create", new, OneRun)).run.info
    metrics: list[dict[str, Any]] = [
        {"key": f"metric_{key}", "value": chance.random(), "timestamp": start + step * 100, "step": step}
        for key in range(size.metrics)
        for step in range(size.points)
    ]
    params = [{"key": f"param_{key}", "value": str(chance.random())} for key in range(size.params)]
    for first in range(0, max(len(metrics), 1), 900):
        body = {"run_id": info.run_id, "metrics": metrics[first : first + 900], "params": params if not first else []}
        await server.post("runs/log-batch", body, Nothing)
    root = info.artifact_uri.removeprefix("mlflow-artifacts:/")
    for file in range(size.files):
        path = f"api/2.0/mlflow-artifacts/artifacts/{root}/file-{file}.bin"
        await server.client.upload("PUT", path, chance.randbytes(FILE_BYTES), FILE_BYTES)
    await server.post("runs/update", {"run_id": info.run_id, "status": "FINISHED", "end_time": start + 5000}, Nothing)
    return info.run_id, info.artifact_uri
