"""Compares two servers from tests, with the tool's own comparison."""

from pathlib import Path
from typing import Any

import anyio

from bulkexim import Endpoint, Settings
from bulkexim.config import Level
from bulkexim.engine.events import Listener
from bulkexim.engine.verification import Finding, Verification
from bulkexim.engine.verify import verify
from tests.support.servers import MlflowServer

End = MlflowServer | Endpoint | str


def verified(
    source: End, destination: End, level: Level = Level.CONTENT, *listeners: Listener, **settings: Any
) -> Verification:
    """Compares what ``settings`` select."""

    async def run() -> Verification:
        chosen = Settings(**{"work_dir": Path("unused")} | settings)
        return await verify(_end(source), _end(destination), chosen, level, listeners=listeners)

    return anyio.run(run)


def told(verification: Verification) -> list[str]:
    """Every finding as lines: kind, name, verdict, and the field with both values."""
    return [line for finding in verification.findings for line in _lines(finding)]


def _lines(finding: Finding) -> list[str]:
    head = f"{finding.kind} {finding.name} {finding.verdict}"
    fields = [f"{head} {difference}" for difference in finding.differences]
    return [f"{line} {finding.detail}".rstrip() for line in fields or [head]]


def _end(end: End) -> Endpoint | str:
    return end.url if isinstance(end, MlflowServer) else end
