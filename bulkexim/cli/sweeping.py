"""Runs what ``sweep`` was asked for, from the settings to the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
from structlog.typing import FilteringBoundLogger

from bulkexim import logs
from bulkexim.cli.failures import Failures
from bulkexim.cli.interrupt import interruptible
from bulkexim.cli.paper import printer, say
from bulkexim.cli.results import print_json
from bulkexim.cli.running import Job, asked
from bulkexim.cli.table import show_leftovers
from bulkexim.cli.views import outages_on, saying, stderr
from bulkexim.engine import sweep as engine
from bulkexim.engine.log_events import logging_to
from bulkexim.engine.sweep import Swept
from bulkexim.masking import masked


def sweep(
    failures: Failures, flags: Mapping[str, Any], config_path: Path | None, *, remove: bool, as_json: bool
) -> int:
    """Look, and ``remove`` what is in excess; print the outcome and return the exit code.

    :raises BulkeximError: see `bulkexim.engine.sweep.sweep`
    """
    _, job = asked(failures, flags, config_path)
    log_path = logs.path_in(job.settings.work_dir)
    with logs.opened(log_path, failures.mask) as log:
        swept = masked(anyio.run(partial(_sweep, job, log, remove=remove)), failures.mask)
        for left in swept.found:
            log.warning("left over", **msgspec.to_builtins(left))
        for failure in swept.failures:
            log.error("not removed", **msgspec.to_builtins(failure))
        log.info("swept", found=len(swept.found), removed=swept.removed)
    if as_json:
        print_json(swept, exit_code=swept.exit_code)
    else:
        _show(swept, log_path)
    return swept.exit_code


async def _sweep(job: Job, log: FilteringBoundLogger, *, remove: bool) -> Swept:
    listeners = [logging_to(log), outages_on(stderr())]
    return await interruptible(lambda: engine.sweep(*job, remove=remove, listeners=listeners), saying(stderr()))


def _show(swept: Swept, log_path: Path) -> None:
    console = printer()
    show_leftovers(console, swept.found, len(swept.found))
    for failure in swept.failures:
        say(console, f"  not removed  {failure.kind} {failure.name!r} ({failure.id}): {failure.error}")
    say(console, f"Log: {log_path}")
    say(console, _sentence(swept))


def _sentence(swept: Swept) -> str:
    if not swept.found:
        return "Nothing is left over."
    if swept.failures:
        return f"Removed: {swept.removed:,}. The rest has to be looked at by hand."
    if swept.removed:
        return f"Removed: {swept.removed:,}. Next: run the migration again."
    return "Nothing was removed. Next: the same command with --yes."
