"""Fills the source of the demo: MLflow's own demo data, and a registered model that is hard to move."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import anyio
import msgspec

from bulkexim.ends.capabilities import Nothing
from bulkexim.ends.server import Server
from bulkexim.errors import FatalError

EXPERIMENT = "twelve versions"
MODEL = "twelve-versions"
VERSIONS = 12
DELETED = 5
ALIAS, ALIASED = "production", 11
#: 2026-01-01, in milliseconds since the epoch; every run starts an hour after the one before.
START, HOUR = 1_767_225_600_000, 3_600_000


class _Experiment(msgspec.Struct, frozen=True):
    experiment_id: str


class _RunInfo(msgspec.Struct, frozen=True):
    run_id: str
    artifact_uri: str


class _Run(msgspec.Struct, frozen=True):
    info: _RunInfo


class _Created(msgspec.Struct, frozen=True):
    run: _Run


async def fill(source: Server) -> None:
    """Write the demo data.

    :raises FatalError: ``mlflow demo`` failed
    """
    await _mlflow_demo(str(source.client.http.base_url).rstrip("/"))
    created = await source.post("experiments/create", {"name": EXPERIMENT}, _Experiment)
    await source.post("registered-models/create", {"name": MODEL, "description": "One version an hour."}, Nothing)
    for number in range(1, VERSIONS + 1):
        await _version(source, created.experiment_id, number)
    await source.send("DELETE", "model-versions/delete", {"name": MODEL, "version": str(DELETED)})
    await source.post("registered-models/alias", {"name": MODEL, "alias": ALIAS, "version": str(ALIASED)}, Nothing)


async def _version(source: Server, experiment_id: str, number: int) -> None:
    start = START + number * HOUR
    new = {"experiment_id": experiment_id, "run_name": f"training {number}", "start_time": start, "user_id": "demo"}
    info = (await source.post("runs/create", new, _Created)).run.info
    metrics: list[dict[str, Any]] = [
        {"key": "loss", "value": 1 / (step + number), "timestamp": start + step * 1000, "step": step}
        for step in range(50)
    ]
    params = [{"key": "depth", "value": str(number)}]
    await source.post("runs/log-batch", {"run_id": info.run_id, "metrics": metrics, "params": params}, Nothing)
    root = info.artifact_uri.removeprefix("mlflow-artifacts:/")
    content = f"weights of version {number}\n".encode()
    path = f"api/2.0/mlflow-artifacts/artifacts/{root}/model/weights.txt"
    await source.client.upload("PUT", path, content, len(content))
    end = {"run_id": info.run_id, "status": "FINISHED", "end_time": start + HOUR // 2}
    await source.post("runs/update", end, Nothing)
    version = {
        "name": MODEL,
        "source": f"{info.artifact_uri}/model",
        "run_id": info.run_id,
        "description": f"version {number}",
    }
    await source.post("model-versions/create", version, Nothing)


def environment() -> dict[str, str]:
    """Return the environment of ``mlflow demo``.

    ``MLFLOW_`` variables of the user would send the demo's data elsewhere, and so would a proxy.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "NO_PROXY": "*", "no_proxy": "*"}


async def _mlflow_demo(url: str) -> None:
    done = await anyio.run_process(
        [sys.executable, "-m", "mlflow", "demo", "--tracking-uri", url, "--no-browser"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip().splitlines()[-5:]
        raise FatalError("MLflow's own demo data could not be made (mlflow demo).", "\n".join(["It said last:", *said]))
