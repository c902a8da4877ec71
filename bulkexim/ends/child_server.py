"""An MLflow server that bulkexim starts itself, on loopback, for as long as it needs one."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import anyio
import httpx
from anyio.abc import Process

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
    what: str


@asynccontextmanager
async def child_server(options: Sequence[str], *, folder: Path, home: Path, what: str) -> AsyncIterator[str]:
    """Run ``mlflow server`` with ``options`` in the folder ``home`` and yield its address.

    ``folder`` is private: log and temporary files go there. ``what`` tells in sentences which server it is.

    :raises UsageError: MLflow is not installed
    :raises FatalError: the server did not start, or ended while the block was running
    """
    if find_spec("mlflow") is None:
        raise UsageError(
            f"The server {what} is MLflow's, which is not installed here.", "Install it: pip install mlflow."
        )
    async with _running(options, folder, home, what) as running:
        await _ready(running)
        async with together() as tasks:
            tasks.start_soon(_watched, running)
            yield running.url
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _running(options: Sequence[str], folder: Path, home: Path, what: str) -> AsyncIterator[_Running]:
    """Start the server's process, and kill it and all it started when the block ends in any way."""
    port, prefix = _free_port(), f"/{secrets.token_hex(16)}"
    log = folder / "server.log"
    listening = ("--host", HOST, "--port", str(port), "--workers", "1")
    with anyio.CancelScope(shield=True), log.open("wb") as out:
        process = await anyio.open_process(
            [sys.executable, "-m", "mlflow", "server", *listening, *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=home,
            env=_environment(folder, prefix),
            # Ctrl-C in the terminal is for us; we end the server when nothing reads from it any more.
            start_new_session=True,
        )
    try:
        yield _Running(process, f"http://{HOST}:{port}{prefix}", log, what)
    finally:
        with anyio.move_on_after(END_SECONDS, shield=True):
            # Killed, not asked: it serves a replica or a store that is thrown away.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


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
    raise _failed(f"The MLflow server {running.what} did not start.", running.log)


async def _is_healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/health")).is_success
    except httpx.TransportError:
        return False


async def _watched(running: _Running) -> None:
    """End the migration when the server ends, which would else be waited for as one that restarts."""
    await running.process.wait()
    raise _failed(f"The MLflow server {running.what} ended before the work was done.", running.log)


def _failed(problem: str, log: Path) -> FatalError:
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-LOG_LINES:]
    return FatalError(problem, "\n".join(["It said last:", *tail]) if tail else "It said nothing.")
