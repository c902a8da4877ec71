"""Runs what ``verify`` was asked for, from the settings to the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from structlog.typing import FilteringBoundLogger

from bulkexim import logs
from bulkexim.cli import verification_text
from bulkexim.cli.again import Invocation
from bulkexim.cli.failures import Failures
from bulkexim.cli.interrupt import interruptible
from bulkexim.cli.results import print_json
from bulkexim.cli.running import Job, asked, compared
from bulkexim.cli.views import saying, stderr
from bulkexim.config import Level
from bulkexim.engine.migration import ends
from bulkexim.engine.verification import Verification
from bulkexim.masking import masked


def verify(
    failures: Failures, flags: Mapping[str, Any], config_path: Path | None, *, progress: str, as_json: bool
) -> int:
    """Compare what the flags, the environment and the file name; print the outcome and return the exit code.

    :raises BulkeximError: see `bulkexim.engine.verify.verify`
    """
    merged, job = asked(failures, flags, config_path)
    log_path = logs.path_in(job.settings.work_dir)
    with logs.opened(log_path, failures.mask) as log:
        verification = anyio.run(_verify, job, merged.verify or Level.CONTENT, progress, log)
    verification = masked(verification, failures.mask)
    if as_json:
        print_json(verification, exit_code=verification.exit_code)
    else:
        verification_text.show(verification, log_path, Invocation(flags, config_path))
    return verification.exit_code


async def _verify(job: Job, level: Level, progress: str, log: FilteringBoundLogger) -> Verification:
    async def work() -> Verification:
        async with ends(*job) as servers:
            return await compared(job, servers, level, progress, log)

    return await interruptible(work, saying(stderr()))
