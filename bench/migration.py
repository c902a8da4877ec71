"""Times a migration of W1 between two servers, beside mlflow-export-import where that is installed.

    python -m bench.migration [--runs 1000] [--backend postgres] [--workers 2] [--peer-bin DIRECTORY]

``--peer-bin`` is the directory with the commands export-all and import-all (in an environment of their own).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from bench.workload import Size, fill
from bulkexim import Endpoint, Settings, migrate
from bulkexim.ends.server import connected
from bulkexim.kinds.experiment import experiments
from bulkexim.kinds.run_values import search_runs
from bulkexim.kinds.version_values import model_versions
from tests.support.servers import MlflowServer, Servers


def main() -> None:
    """Run the benchmark and print its figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--backend", choices=("postgres", "sqlite"), default="postgres")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer-bin", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bulkexim-bench-") as name:
        home = Path(name)
        servers = Servers(home / "servers")
        try:
            print(json.dumps(_measure(servers, home, options), indent=2))
        finally:
            servers.close()


def _measure(servers: Servers, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    source = servers.start(options.backend, workers=options.workers)
    anyio.run(fill, source.url, Size(runs=options.runs))
    figures: dict[str, Any] = {"runs": options.runs, "backend": options.backend, "workers": options.workers}
    with servers.start(options.backend, workers=options.workers) as destination:
        settings = Settings(work_dir=home / "work")
        for name in ("first run", "second run"):
            began = time.monotonic()
            report = anyio.run(lambda: migrate(source.url, destination.url, settings))
            figures[name] = {
                "seconds": round(time.monotonic() - began, 1),
                "requests": report.requests,
                "moved": sum(kind.moved for kind in report.kinds),
                "failed": report.failed,
            }
    if options.peer_bin:
        with servers.start(options.backend, workers=options.workers) as destination:
            figures["mlflow-export-import"] = _peer(options.peer_bin, source, destination, home / "peer")
    return figures


def _peer(commands: Path, source: MlflowServer, destination: MlflowServer, folder: Path) -> dict[str, Any]:
    began = time.monotonic()
    steps = (("export-all", "--output-dir", source), ("import-all", "--input-dir", destination))
    codes = [
        subprocess.run(  # noqa: S603 - the commands of the caller's choice
            [commands / command, option, folder, "--use-threads", "True"],
            env={**os.environ, "MLFLOW_TRACKING_URI": server.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        for command, option, server in steps
    ]
    return {
        "seconds": round(time.monotonic() - began, 1),
        "exit codes": codes,
        "arrived": anyio.run(_count, destination.url),
    }


async def _count(url: str) -> dict[str, int]:
    async with connected(Endpoint(uri=url), "destination") as server:
        ids = [one.experiment_id async for page in experiments(server, "ALL") for one in page]
        runs = sum([len(page) async for page in search_runs(server, ids, "ALL", "")])
        versions = sum([len(page) async for page in model_versions(server)])
    return {"runs": runs, "model versions": versions}


if __name__ == "__main__":
    main()
