"""Migrations in processes of their own, which can be killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ended:
    """How a migration ended; what it reported, unless it was killed. A sweep counts as moved what it removed."""

    killed: bool
    exit_code: int = 0
    failed: int = 0
    moved: int = 0
    in_excess: int = 0
    error: str = ""
    requests: Mapping[str, int] | None = None


class Child:
    """Runs one migration at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin and process.stdout
        self._orders = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)
        self._result = Path()
        self._pid = 0
        self._started = anyio.Event()

    async def migrate(self, order: Mapping[str, Any], result: Path) -> Ended:
        """Runs one migration to its end."""
        result.unlink(missing_ok=True)
        self._started = anyio.Event()
        await self._orders.send(json.dumps({**order, "result": str(result)}).encode() + b"\n")
        self._pid = await self._number()
        self._started.set()
        status = await self._number()
        if status == -signal.SIGKILL:
            return Ended(killed=True)
        assert status == 0, f"the migrating process ended with {status}"
        return Ended(killed=False, **json.loads(result.read_text()))

    async def _number(self) -> int:
        return int(await self._answers.receive_until(b"\n", 100))

    async def kill(self) -> None:
        """Kills the migration that runs."""
        await self._started.wait()
        os.kill(self._pid, signal.SIGKILL)


@asynccontextmanager
async def child() -> AsyncIterator[Child]:
    """Makes ready for migrations in processes of their own."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.campaigns.child"]
    async with await anyio.open_process(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=None) as process:
        yield Child(process)
        assert process.stdin
        await process.stdin.aclose()
        await process.wait()
