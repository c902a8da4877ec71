"""Runs what ``migrate-workspace`` was asked for, from the settings to the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
from rich.console import Console
from structlog.typing import FilteringBoundLogger

from bulkexim import config, logs
from bulkexim.cli import standing, table
from bulkexim.cli.failures import Failures, Interrupted
from bulkexim.cli.interrupt import interruptible
from bulkexim.cli.plain import plain
from bulkexim.cli.progress import live
from bulkexim.config import Endpoint, Settings
from bulkexim.engine.events import Listener
from bulkexim.engine.log_events import logging_to
from bulkexim.engine.migration import Ends, ends, migrate_between
from bulkexim.engine.plan import Plan, plan
from bulkexim.engine.report import Report
from bulkexim.errors import BulkeximError
from bulkexim.ledger.queries import look


class Job(NamedTuple):
    """What was asked for."""

    source: Endpoint
    destination: Endpoint
    settings: Settings


def migrate(
    failures: Failures, flags: Mapping[str, Any], config_path: Path | None, *, progress: str, as_json: bool
) -> int:
    """Move, or only plan, what the flags, the environment and the file say; print the outcome and return the exit code.

    :raises BulkeximError: see `bulkexim.engine.migration.migrate`
    """
    merged = config.load(flags, config_path)
    job = Job(config.endpoint(merged, "src"), config.endpoint(merged, "dst"), config.settings(merged))
    failures.work_dir, failures.mask = job.settings.work_dir, logs.masking(job.source, job.destination)
    if merged.dry_run:
        planned = anyio.run(_plan, job)
        _print_json(planned) if as_json else table.show_plan(planned)
        return 0
    log_path = logs.path_in(job.settings.work_dir)
    with logs.opened(log_path, failures.mask) as log:
        report = _run(job, progress, log)
    report = _masked(report, failures.mask)
    _print_json(report, exit_code=report.exit_code) if as_json else table.show(report, job.settings.work_dir, log_path)
    return report.exit_code


async def _plan(job: Job) -> Plan:
    return await interruptible(lambda: plan(*job), _saying(_stderr()))


def _run(job: Job, progress: str, log: FilteringBoundLogger) -> Report:
    try:
        return anyio.run(_migrate, job, progress, log)
    except Interrupted as error:
        log.warning("interrupted")
        raise Interrupted(
            f"Interrupted{_left(job.settings.work_dir)}.", "Run the same command again to go on."
        ) from error
    except BulkeximError as error:
        log.error("stopped", error=str(error), cause=type(error).__name__)  # noqa: TRY400 - a sentence, no traceback
        raise


def _left(work_dir: Path) -> str:
    try:
        with closing(look(work_dir)) as queries:
            return f": {standing.read(queries, work_dir).left()}"
    except BulkeximError:
        return " before anything was moved"  # there is no ledger yet


async def _migrate(job: Job, progress: str, log: FilteringBoundLogger) -> Report:
    console = _stderr()

    async def work() -> Report:
        async with ends(*job) as servers:
            with _view(progress, servers, console) as listeners:
                return await migrate_between(*servers, job.settings, [logging_to(log), *listeners])

    return await interruptible(work, _saying(console))


@contextmanager
def _view(progress: str, servers: Ends, console: Console) -> Iterator[list[Listener]]:
    """Yield the listeners that show the progress on ``console``."""
    if progress == "auto":
        progress = "live" if console.is_terminal and not console.is_dumb_terminal else "plain"
    if progress == "live":
        with live(servers, console) as listener:
            yield [listener]
    else:
        yield [plain(servers, _saying(console))] if progress == "plain" else []


def _stderr() -> Console:
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def _saying(console: Console) -> Callable[[str], None]:
    return partial(console.print, soft_wrap=True)


def _masked(report: Report, mask: Callable[[str], str]) -> Report:
    """Return the report without the secrets that a server may have repeated in its replies."""
    failures = tuple(
        msgspec.structs.replace(one, error=mask(one.error), name=mask(one.name)) for one in report.failures
    )
    remarks = tuple(msgspec.structs.replace(one, example=mask(one.example)) for one in report.remarks)
    return msgspec.structs.replace(report, failures=failures, remarks=remarks)


def _print_json(value: msgspec.Struct, **more: object) -> None:
    sys.stdout.write(msgspec.json.encode(msgspec.to_builtins(value) | more).decode() + "\n")
