"""Prints a report or a plan for people, on stdout."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bulkexim.cli.again import Advice, Invocation, say_advice
from bulkexim.cli.paper import grid, printer, say, size
from bulkexim.config import Settings
from bulkexim.engine.events import Leftover
from bulkexim.engine.plan import Plan
from bulkexim.engine.report import BehindForCause, ChangedKind, Remarked, Repeats, Report, UnsupportedKind

#: Changed objects of a kind that are named, and leftovers that are listed.
NAMED, LISTED = 3, 20


def show(
    report: Report, work_dir: Path, log_path: Path, again: Invocation | None = None, *, final: bool = True
) -> None:
    """Print what a run did, what went wrong, and what to do next, unless more is to come (not ``final``)."""
    console = printer()
    show_kinds(console, report)
    _show_warnings(console, report.warnings)
    requests = ", ".join(f"{number:,} to the {name}" for name, number in report.requests.items())
    say(console, f"Requests: {requests}.")
    for name, repeats in report.repeats.items():
        _show_repeats(console, name, repeats)
    if final:
        say(console, f"Log: {log_path}")
        say(console)
        say_advice(console, next_step(report, work_dir, again), again.secrets if again else ())


def _show_repeats(console: Console, name: str, repeats: Repeats) -> None:
    repeated = "1 request was" if repeats.requests == 1 else f"{repeats.requests:,} requests were"
    if repeats.outages:
        times = "1 time" if repeats.outages == 1 else f"{repeats.outages:,} times"
        silent = f"The {name} did not answer for {repeats.seconds:,.0f} s ({times})"
        say(console, f"{silent}; {repeated} repeated.")
    elif repeats.requests:
        say(console, f"{repeated} to the {name} repeated.")


def show_kinds(console: Console, report: Report) -> None:
    """Print the figures of each kind, and what did not arrive as it was."""
    headings = ("", "found", "already\nthere", "moved", "failed", "skipped", "bytes", "seconds")
    rows = [(k.kind, k.found, k.already, k.moved, k.failed, k.skipped, size(k.bytes), k.seconds) for k in report.kinds]
    names = ("found", "already", "moved", "failed", "skipped")
    sums = [sum(getattr(kind, name) for kind in report.kinds) for name in names]
    total = ("in all", *sums, size(sum(kind.bytes for kind in report.kinds)), report.seconds)
    console.print(grid(headings, rows, total))
    show_troubles(console, report)


def show_troubles(console: Console, report: Report) -> None:
    """Print everything that did not arrive as it was."""
    _show_failures(console, report)
    show_remarks(console, report.remarks)
    show_left_behind(console, report.left_behind, report.uncarried)
    _show_changed(console, report.changed)
    show_leftovers(console, report.leftovers, report.left)


def show_mended(report: Report, repair: Report | None) -> None:
    """Print what a run and the repair after it did, without the table: that of the comparison follows."""
    console = printer()
    moved = sum(kind.moved for kind in report.kinds)
    say(console, f"Found: {sum(kind.found for kind in report.kinds):,} objects. Moved: {moved:,}.")
    if repair:
        again = ", ".join(f"{kind.kind} {kind.moved:,}" for kind in repair.kinds if kind.moved)
        say(console, f"Moved again, because a comparison found it missing or differing: {again or 'nothing'}.")
    show_troubles(console, repair or report)
    _show_warnings(console, report.warnings)


def _show_warnings(console: Console, warnings: Sequence[str]) -> None:
    if not warnings:
        return
    say(console, "Warnings:")
    for warning in warnings:
        say(console, f"  {warning}")
    say(console)


def _show_failures(console: Console, report: Report) -> None:
    if not report.failed:
        return
    say(console, f"Failed: {report.failed:,}")
    for cause, number in report.causes.items():
        example = next((failure for failure in report.failures if failure.cause == cause), None)
        say(console, f"  {number:,}  {cause}")
        if example:
            say(console, f"      such as {example.kind} {example.name!r} ({example.id}): {example.error}")
    say(console)


def show_remarks(console: Console, remarks: Sequence[Remarked]) -> None:
    """Print what could not be carried as it was."""
    if not remarks:
        return
    say(console, "What MLflow's API cannot carry as it is:")
    for remark in remarks:
        say(console, f"  {remark.objects:,}  {remark.what} ({remark.example})")
    say(console)


def show_left_behind(console: Console, left_behind: Sequence[BehindForCause], kinds: Sequence[UnsupportedKind]) -> None:
    """Print what is not at the destination although its object was selected, by the words for ``--accept``."""
    if not (left_behind or kinds):
        return
    say(console, "Left behind at the source:")
    for kind in kinds:
        number = f"{kind.objects:,}{' or more' if kind.more else ''}"
        say(console, f"  {number}  {kind.kind}{_accepted(kind)}: this version does not move the kind")
    for one in left_behind:
        say(console, f"  {one.number:,}  {one.cause}{_accepted(one)}")
        for left in one.first[:LISTED]:
            whose = f"{left.kind} {left.name!r} ({left.id})" if left.id else left.kind
            say(console, f"      {whose}: {left.detail}")
        if one.number > LISTED:
            say(console, f"      and {one.number - LISTED:,} more: see the log, or --json")
    say(console)


def _accepted(one: BehindForCause | UnsupportedKind) -> str:
    return " (accepted)" if one.accepted else ""


def _show_changed(console: Console, changed: Sequence[ChangedKind]) -> None:
    if not changed:
        return
    say(console, "Changed at the source meanwhile; the same command carries it:")
    for kind in changed:
        names = ", ".join(f"{one.name!r} ({one.how})" for one in kind.examples[:NAMED])
        say(console, f"  {kind.objects:,}  {kind.kind}: {names}{', ...' if kind.objects > NAMED else ''}")
    say(console)


def show_leftovers(console: Console, leftovers: Sequence[Leftover], number: int) -> None:
    """Print what stands at the destination without need."""
    if not number:
        return
    say(console, f"In excess at the destination: {number:,}")
    for left in leftovers[:LISTED]:
        say(console, f"  {left.why}  {left.kind} {left.name!r} ({left.dst_id}): {left.detail}")
    if number > LISTED:
        say(console, f"  and {number - LISTED:,} more: see the log, or --json")
    say(console)


def next_step(report: Report, work_dir: Path, again: Invocation | None = None) -> Advice:
    """Return what ends a report; ``again`` is the command that made it, where that is known."""
    if report.left and again:
        text = "Next: this shows what is in excess, and removes it with --yes. Then run the same command again."
        return Advice(text, again.command("sweep"))
    if report.left:
        return Advice(
            "Next: 'bulkexim sweep', with the servers of that migration, shows what is in excess, and removes it with "
            "--yes. Then run the migration again."
        )
    return Advice(_next_sentence(report, work_dir))


def _next_sentence(report: Report, work_dir: Path) -> str:
    if report.failed:
        listing = command("status --failures", work_dir)
        again = "run the same command again, it tries exactly what is missing"
        first = "" if report.temporary else "mend what the causes above name, then "
        return f"Next: {first}{again}. Every failure: {listing}"
    if report.not_accepted:
        return (
            "Everything else arrived. Next: look at what was left behind; if it may stay there, "
            f"add --accept {','.join(report.not_accepted)}"
        )
    return f"Everything is accounted for. Next, which id became which: {command('id-map', work_dir)}"


def command(name: str, work_dir: Path) -> str:
    """Return a command of bulkexim as the user types it."""
    place = "" if work_dir == Settings().work_dir else f" --work-dir {shlex.quote(str(work_dir))}"
    return f"bulkexim {name}{place}"


def show_plan(plan: Plan) -> None:
    """Print what a migration would do."""
    console = printer()
    headings = ("", "found", "already\nthere", "to move", "files", "bytes", "source\nrequests", "destination\nrequests")
    names = ("found", "already", "to_move", "files")
    rows = [
        (k.kind, k.found, k.already, k.to_move, k.files, size(k.bytes), k.src_requests, k.dst_requests)
        for k in plan.kinds
    ]
    sums = [sum(getattr(kind, name) for kind in plan.kinds) for name in names]
    total = ("in all", *sums, size(sum(kind.bytes for kind in plan.kinds)), plan.src_requests, plan.dst_requests)
    console.print(grid(headings, rows, total))
    _show_warnings(console, plan.warnings)
    if plan.failing:
        say(console, f"Would fail: {plan.failing:,}")
        for failure in plan.failures[:LISTED]:
            say(console, f"  {failure.kind} {failure.name!r} ({failure.id}): {failure.error}")
        if plan.failing > LISTED:
            say(console, f"  and {plan.failing - LISTED:,} more: see --json")
        say(console)
    show_remarks(console, plan.remarks)
    show_left_behind(console, plan.left_behind, plan.uncarried)
    for obstacle in plan.obstacles:
        effect = "The migration could not go on" if obstacle.ends else "Files may stay behind"
        say(console, f"{effect}: {obstacle.problem}")
    if plan.not_accepted:
        say(console, f"If what would be left behind may stay there, add --accept {','.join(plan.not_accepted)}")
    then = "mend that, then the same" if plan.obstacles else "the same"
    say(console, f"Nothing was written. Next: {then} command without --dry-run.")
