"""Runs what ``migrate-workspace`` was asked for, from the settings to the exit code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
from rich.console import Console
from structlog.typing import FilteringBoundLogger

from bulkexim import given_settings, logs
from bulkexim.cli import standing, table, verification_text
from bulkexim.cli.again import Invocation
from bulkexim.cli.failures import Failures, Interrupted
from bulkexim.cli.interrupt import interruptible
from bulkexim.cli.paper import say
from bulkexim.cli.plain import plain
from bulkexim.cli.progress import live
from bulkexim.cli.results import print_json
from bulkexim.config import Endpoint, Level, Settings
from bulkexim.engine.events import Event, Listener, Warned
from bulkexim.engine.log_events import logging_to
from bulkexim.engine.migration import Ends, ends, migrate_between
from bulkexim.engine.plan import Plan, plan
from bulkexim.engine.repair import Wrong, mark_for_repair
from bulkexim.engine.report import Report
from bulkexim.engine.verification import FindingListener, Verification
from bulkexim.engine.verify import verify_between
from bulkexim.errors import BulkeximError
from bulkexim.given_settings import FileSettings
from bulkexim.http.auth import all_secrets
from bulkexim.ledger.queries import look
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
        planned = masked(anyio.run(_plan, job), failures.mask)
        for warning in planned.warnings:
            warning_on(stderr())(Warned(warning))
        print_json(planned) if as_json else table.show_plan(planned)
        return 0
    log_path = logs.path_in(job.settings.work_dir)
    check = Check(merged.verify or Level.CONTENT, bool(merged.repair)) if merged.verify or merged.repair else None
    with logs.opened(log_path, failures.mask) as log:
        outcome = masked(_run(job, check, progress, log), failures.mask)
    report, verification, repair, _ = outcome
    if as_json:
        more = {"verification": verification, "repair": repair}
        print_json(report, exit_code=outcome.exit_code, **{key: value for key, value in more.items() if value})
        return outcome.exit_code
    if verification is None:
        table.show(report, job.settings.work_dir, log_path)
        return outcome.exit_code
    if check and check.repair:
        table.show_mended(report, repair)
    else:
        table.show(report, job.settings.work_dir, log_path, final=False)
    last = repair or report
    # What the comparison tells comes with its own advice.
    unseen = not verification.different or (last.left and not verification.excess)
    besides = table.next_step(last, job.settings.work_dir) if last.exit_code and unseen else ""
    again = Invocation(flags, config_path)
    verification_text.show(verification, log_path, again, repaired=bool(check and check.repair), besides=besides)
    return outcome.exit_code


async def _plan(job: Job) -> Plan:
    return await interruptible(lambda: plan(*job), saying(stderr()))


def _run(job: Job, check: Check | None, progress: str, log: FilteringBoundLogger) -> Outcome:
    try:
        return anyio.run(_migrate, job, check, progress, log)
    except Interrupted as error:
        log.warning("interrupted")
        raise type(error)(
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


async def _migrate(job: Job, check: Check | None, progress: str, log: FilteringBoundLogger) -> Outcome:
    console = stderr()
    wrong = Wrong()

    async def moved(settings: Settings, servers: Ends) -> Report:
        with view(progress, servers, console) as listeners:
            return await migrate_between(*servers, settings, [logging_to(log), *listeners])

    async def work() -> Outcome:
        async with ends(*job) as servers:
            report = await moved(job.settings, servers)
            if check is None:
                return Outcome(report)
            verification = await compared(job, servers, check.level, progress, log, wrong)
            if not (check.repair and wrong.objects):
                return Outcome(report, verification, mending=check.repair)
            await mark_for_repair(servers, job.settings, wrong)
            repaired = await moved(msgspec.structs.replace(job.settings, rebuild_ledger=False), servers)
            return Outcome(report, await compared(job, servers, check.level, progress, log), repaired, mending=True)

    return await interruptible(work, saying(console))


async def compared(
    job: Job, servers: Ends, level: Level, progress: str, log: FilteringBoundLogger, *more: FindingListener
) -> Verification:
    """Compare the two servers with a view of its own on stderr; ``more`` get the findings too."""
    with view(progress, servers, stderr()) as listeners:
        findings = [verification_text.logging_to(log), *more]
        return await verify_between(*servers, job.settings, level, listeners=listeners, findings=findings)


@contextmanager
def view(progress: str, servers: Ends, console: Console) -> Iterator[list[Listener]]:
    """Yield the listeners that show the progress on ``console``, and in any case warnings."""
    warn = warning_on(console)
    if progress in ("auto", "live"):
        progress = "live" if console.is_terminal and not console.is_dumb_terminal else "plain"
    if progress == "live":
        with live(servers, console) as listener:
            yield [warn, listener]
    else:
        yield [warn, plain(servers, saying(console))] if progress == "plain" else [warn]


def warning_on(console: Console) -> Listener:
    """Return a listener that says warnings as they come."""

    def listen(event: Event) -> None:
        if isinstance(event, Warned):
            say(console, f"bulkexim: warning: {event.text}")

    return listen


def stderr() -> Console:
    """Return a console on stderr that prints names as they are."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def saying(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line."""
    return partial(say, console)
