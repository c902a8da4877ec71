"""A local store as a source: an MLflow server of our own in front of it, for as long as it is read.

The store is never altered: the server gets a replica, and artifacts are read from where they are.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import anyio
import httpx
from anyio import to_thread
from anyio.abc import Process

from bulkexim.ends.files_replica import files_replica
from bulkexim.ends.local_artifacts import check_roots, service_folder
from bulkexim.ends.local_store import LocalStore
from bulkexim.ends.replica import Replica
from bulkexim.ends.sqlite_replica import sqlite_replica
from bulkexim.errors import FatalError, UsageError
from bulkexim.tasks import together

START_SECONDS = 120.0
#: A killed process is gone at once, unless the kernel holds it (on a dead network drive).
END_SECONDS = 10.0
LOG_LINES = 15
HOST = "127.0.0.1"

#: Variables that are not for this server: other servers, their logins, settings of MLflow and of what it runs on.
_FOREIGN = ("MLFLOW_", "_MLFLOW_", "UVICORN_", "BULKEXIM_")
#: Of these, the ones that say how to reach storage, which the artifacts may need.
_STORAGE = ("MLFLOW_S3_", "MLFLOW_BOTO_", "MLFLOW_GCS_", "MLFLOW_KERBEROS_")


class _Running(NamedTuple):
    process: Process
    url: str
    log: Path


@asynccontextmanager
async def embedded(store: LocalStore, *, artifacts: bool = True) -> AsyncIterator[str]:
    """Serve a local store on loopback and yield the server's address. With ``artifacts``, theirs is checked first.

    :raises UsageError: MLflow is not installed, or the store is none
    :raises FatalError: the store cannot be served as it is, its artifacts cannot be reached, or the server failed
    :raises TemporaryTrouble: somebody is writing to the store
    """
    if find_spec("mlflow") is None:
        raise UsageError(
            "A local store is read by MLflow, which is not installed here.", "Install it: pip install mlflow."
        )
    with TemporaryDirectory(prefix="bulkexim-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        replicate = sqlite_replica if store.is_database else files_replica
        replica = await to_thread.run_sync(replicate, store.path, folder)
        if artifacts:
            check_roots(store, replica.roots)
        async with _running(store, replica, folder) as running:
            await _ready(running)
            async with together() as tasks:
                tasks.start_soon(_watched, running)
                yield running.url
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def _running(store: LocalStore, replica: Replica, folder: Path) -> AsyncIterator[_Running]:
    """Start the server's process, and kill it and all it started when the block ends in any way."""
    port, prefix = _free_port(), f"/{secrets.token_hex(16)}"
    log = folder / "server.log"
    with anyio.CancelScope(shield=True), log.open("wb") as out:
        process = await anyio.open_process(
            _command(store, replica, folder, port),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=store.home,
            env=_environment(folder, prefix),
            # Ctrl-C in the terminal is for us; we end the server when nothing reads from it any more.
            start_new_session=True,
        )
    try:
        yield _Running(process, f"http://{HOST}:{port}{prefix}", log)
    finally:
        with anyio.move_on_after(END_SECONDS, shield=True):
            # Killed, not asked: it holds nothing but a replica.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _command(store: LocalStore, replica: Replica, folder: Path, port: int) -> list[str]:
    service = service_folder(store)
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", replica.backend),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        # Nothing is ever written to either; by default they would be made in the folder of the store.
        *("--default-artifact-root", str(folder / "artifacts")),
        *("--artifacts-destination", str(service if service.is_dir() else folder / "artifacts")),
        *(["--enable-workspaces"] if replica.has_workspaces else []),
    ]


def _environment(folder: Path, prefix: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN) or name.startswith(_STORAGE)
    }
    return inherited | {
        # A secret path: another server on this port is not taken for ours, and nobody else on this machine finds ours.
        "MLFLOW_STATIC_PREFIX": prefix,
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "TMPDIR": str(folder),
        # The server runs in the folder of the store; a json.py there is not for it to import.
        "PYTHONSAFEPATH": "1",
        "UVICORN_APP_DIR": str(folder),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


async def _ready(running: _Running) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
        with anyio.move_on_after(START_SECONDS):
            while running.process.returncode is None:
                if await _is_healthy(client, running.url):
                    return
                await anyio.sleep(0.1)
    raise _failed("The MLflow server of the local store did not start.", running.log)


async def _is_healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health")).is_success
    except httpx.TransportError:
        return False


async def _watched(running: _Running) -> None:
    """End the migration when the server ends, which would else be waited for as one that restarts."""
    await running.process.wait()
    raise _failed("The MLflow server of the local store ended before the work was done.", running.log)


def _failed(problem: str, log: Path) -> FatalError:
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LOG_LINES:]
    return FatalError(problem, "\n".join(["It said last:", *tail]) if tail else "It said nothing.")
