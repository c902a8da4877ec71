"""Runs what ``migrate-workspace`` was asked for, from the settings to the exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
from structlog.typing import FilteringBoundLogger

from bulkexim import given_settings, logs
from bulkexim.cli import standing, table, verification_text
from bulkexim.cli.again import Invocation
from bulkexim.cli.failures import Failures, Interrupted
from bulkexim.cli.interrupt import interruptible
from bulkexim.cli.results import print_json
from bulkexim.cli.views import Views, saying, stderr, view, warning_on
from bulkexim.config import Endpoint, Level, Settings
from bulkexim.engine.counts import Counts
from bulkexim.engine.events import Listener, Warned
from bulkexim.engine.log_events import logging_to
from bulkexim.engine.migration import Ends, ends, migrate_between
from bulkexim.engine.plan import Plan, plan_between
from bulkexim.engine.repair import Wrong, mark_for_repair
from bulkexim.engine.report import Report
from bulkexim.engine.verification import FindingListener, Verification
from bulkexim.engine.verify import verify_between
from bulkexim.errors import BulkeximError
from bulkexim.given_settings import FileSettings
from bulkexim.http.auth import all_secrets
from bulkexim.masking import in_environment, masked, masking


class Job(NamedTuple):
    """What was asked for."""

    source: Endpoint
    destination: Endpoint
    settings: Settings


class Check(NamedTuple):
    """How closely both ends are compared afterwards, and whether what is wrong then is moved again."""

    level: Level
    repair: bool


class Outcome(NamedTuple):
    """What a migration did, what the last comparison found, and what a repair moved again before that.

    ``mending`` says that a repair was asked for, whether or not there was anything to mend.
    """

    report: Report
    verification: Verification | None = None
    repair: Report | None = None
    mending: bool = False

    @property
    def exit_code(self) -> int:
        """That of the last migration, or of the comparison where nothing failed; of a repair, the other way round."""
        moved = (self.repair or self.report).exit_code
        compared = self.verification.exit_code if self.verification else 0
        return compared or moved if self.mending else moved or compared


def asked(failures: Failures, flags: Mapping[str, Any], config_path: Path | None) -> tuple[FileSettings, Job]:
    """Merge the settings, and let ``failures`` know the work directory and what must not be shown.

    :raises UsageError: a setting is wrong
    """
    merged = given_settings.load(flags, config_path)
    source, destination = given_settings.endpoint(merged, "src"), given_settings.endpoint(merged, "dst")
    job = Job(source, destination, given_settings.settings(merged))
    known = [*all_secrets(job.source), *all_secrets(job.destination), *in_environment(os.environ)]
    failures.work_dir, failures.mask = job.settings.work_dir, masking(known)
    return merged, job


def migrate(
    failures: Failures, flags: Mapping[str, Any], config_path: Path | None, *, progress: str, as_json: bool
) -> int:
    """Move, or only plan, what the flags, the environment and the file say; print the outcome and return the exit code.

    :raises BulkeximError: see `bulkexim.engine.migration.migrate`
    """
    merged, job = asked(failures, flags, config_path)
    if merged.dry_run:
        planned = masked(anyio.run(_plan, job, progress), failures.mask)
        for warning in planned.warnings:
            warning_on(stderr())(Warned(warning))
        print_json(planned, exit_code=planned.exit_code) if as_json else table.show_plan(planned)
        return planned.exit_code
    log_path = logs.path_in(job.settings.work_dir)
    check = Check(merged.verify or Level.CONTENT, bool(merged.repair)) if merged.verify or merged.repair else None
    with logs.opened(log_path, failures.mask) as log:
        outcome = masked(_run(job, check, progress, log), failures.mask)
    report, verification, repair, _ = outcome
    if as_json:
        more = {"verification": verification, "repair": repair}
        print_json(report, exit_code=outcome.exit_code, **{key: value for key, value in more.items() if value})
        return outcome.exit_code
    again = Invocation(flags, config_path)
    if verification is None:
        table.show(report, job.settings.work_dir, log_path, again)
        return outcome.exit_code
    if check and check.repair:
        table.show_mended(report, repair)
    else:
        table.show(report, job.settings.work_dir, log_path, final=False)
    last = repair or report
    # What the comparison tells comes with its own advice.
    unseen = not verification.different or (last.left and not verification.excess)
    besides = table.next_step(last, job.settings.work_dir, again) if last.exit_code and unseen else None
    verification_text.show(verification, log_path, again, repaired=bool(check and check.repair), besides=besides)
    return outcome.exit_code


async def _plan(job: Job, progress: str) -> Plan:
    async def work() -> Plan:
        with view(progress) as shown:
            async with ends(*job, shown.listeners) as servers:
                shown.connect(servers)
                return await plan_between(*servers, job.settings, shown.listeners)

    return await interruptible(work, saying(stderr()))


def _run(job: Job, check: Check | None, progress: str, log: FilteringBoundLogger) -> Outcome:
    counts = Counts()
    try:
        return anyio.run(_migrate, job, check, progress, log, counts)
    except Interrupted as error:
        log.warning("interrupted")
        complete, objects = (sum(getattr(one, name) for one in counts.values()) for name in ("complete", "objects"))
        raise type(error)(
            f"Interrupted: {standing.left(complete, objects)}.", "Run the same command again to go on."
        ) from error
    except BulkeximError as error:
        log.error("stopped", error=str(error), cause=type(error).__name__)  # noqa: TRY400 - a sentence, no traceback
        raise


async def _migrate(job: Job, check: Check | None, progress: str, log: FilteringBoundLogger, counts: Counts) -> Outcome:
    wrong, views = Wrong(), Views(progress)

    async def work() -> Outcome:
        async with AsyncExitStack() as stack:
            with views.show() as shown:
                listeners: list[Listener] = [counts, logging_to(log), *shown.listeners]
                servers = await stack.enter_async_context(ends(*job, [logging_to(log), views]))
                shown.connect(servers)
                report = await migrate_between(*servers, job.settings, listeners)
            if check is None:
                return Outcome(report)
            verification = await compared(job, servers, check.level, views, log, wrong)
            if not (check.repair and wrong.objects):
                return Outcome(report, verification, mending=check.repair)
            await mark_for_repair(servers, job.settings, wrong)
            counts.clear()
            with views.show(servers) as shown:
                settings = msgspec.structs.replace(job.settings, rebuild_ledger=False)
                repaired = await migrate_between(*servers, settings, [counts, logging_to(log), *shown.listeners])
            return Outcome(report, await compared(job, servers, check.level, views, log), repaired, mending=True)

    return await interruptible(work, saying(stderr()))


async def compared(
    job: Job, servers: Ends, level: Level, views: Views, log: FilteringBoundLogger, *more: FindingListener
) -> Verification:
    """Compare the two servers with a view of its own on stderr; ``more`` get the findings too."""
    with views.show(servers) as shown:
        findings = [verification_text.logging_to(log), *more]
        return await verify_between(*servers, job.settings, level, listeners=shown.listeners, findings=findings)
