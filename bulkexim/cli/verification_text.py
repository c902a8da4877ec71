"""Prints what a comparison of both ends found."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from structlog.typing import FilteringBoundLogger

from bulkexim.cli.again import Advice, Invocation, say_advice
from bulkexim.cli.paper import counted, grid, printer, say
from bulkexim.config import Level
from bulkexim.engine.verification import Finding, FindingListener, Verification

#: Objects and fields that are shown; the log and ``--json`` hold more.
OBJECTS_SHOWN = 20
FIELDS_SHOWN = 10
#: Of a field that stays as it is.
LASTING = "MLflow's API cannot change it"


def logging_to(logger: FilteringBoundLogger) -> FindingListener:
    """Return a listener that writes one line for each finding."""

    def write(finding: Finding) -> None:
        logger.warning(
            str(finding.verdict),
            kind=finding.kind,
            name=finding.name,
            source_id=finding.id,
            destination_id=finding.dst_id,
            differences=[str(difference) for difference in finding.differences],
            unread=[str(field) for field in finding.unread],
            lasting=finding.lasting,
            left_behind=finding.left_behind,
            hidden=list(finding.hidden),
            detail=finding.detail,
        )

    return write


def show(
    verification: Verification,
    log_path: Path,
    again: Invocation = Invocation(),  # noqa: B008 - a frozen value
    *,
    repaired: bool = False,
    besides: Advice | None = None,
) -> None:
    """Print the numbers of each kind, what is not the same, and what to do next.

    ``repaired`` says that what can be mended was moved again before; ``besides`` is what no comparison sees.
    """
    console = printer()
    equal = "there" if verification.level is Level.COUNTS else "same"
    headings = ("", "source", "destination", equal, "differing", "missing", "extra", "not\ncomparable")
    names = ("source", "destination", "same", "differing", "missing", "extra", "not_comparable")
    rows = [(kind.kind, *(getattr(kind, name) for name in names)) for kind in verification.kinds]
    totals = [sum(getattr(kind, name) for kind in verification.kinds) for name in names]
    console.print(grid(headings, rows, ("in all", *totals)))
    for finding in verification.findings[:OBJECTS_SHOWN]:
        _show(console, finding)
    more = len(verification.findings) - OBJECTS_SHOWN + verification.unheld
    if more > 0:
        say(console, f"  and {counted(more, 'more object')}: see the log")
    if verification.findings:
        say(console)
    for cause, number in verification.accepted.items():
        say(console, f"Left behind, and accepted: {number:,} {cause}.")
    if verification.unselected:
        say(
            console,
            f"At the destination, but not selected: {counted(verification.unselected, 'object')} of this source.",
        )
    requests = ", ".join(f"{number:,} to the {name}" for name, number in verification.requests.items())
    say(console, f"Compared by {verification.level} in {verification.seconds:,.1f} s. Requests: {requests}.")
    say(console, f"Log: {log_path}")
    say(console)
    _close(console, verification, again, repaired=repaired)
    if besides:
        say_advice(console, besides, again.secrets)


def _show(console: Console, finding: Finding) -> None:
    ids = " -> ".join(one for one in (finding.id, finding.dst_id) if one)
    detail = f": {finding.detail}" if finding.detail and not finding.differences else ""
    say(console, f"  {finding.verdict}  {finding.kind} {finding.name!r}{f' ({ids})' if ids else ''}{detail}")
    for difference in finding.differences[:FIELDS_SHOWN]:
        say(console, f"      {difference}{_reason(finding, difference.field)}")
    if len(finding.differences) > FIELDS_SHOWN:
        say(console, f"      and {len(finding.differences) - FIELDS_SHOWN:,} more fields: see the log")
    for hidden in finding.hidden[:FIELDS_SHOWN]:
        say(console, f"      {hidden}: MLflow does not show it{_reason(finding, hidden)}")
    if len(finding.hidden) > FIELDS_SHOWN:
        say(console, f"      and {len(finding.hidden) - FIELDS_SHOWN:,} more that MLflow does not show: see the log")
    for field in finding.unread[:FIELDS_SHOWN]:
        say(console, f"      {field}")
    if len(finding.unread) > FIELDS_SHOWN:
        say(console, f"      and {len(finding.unread) - FIELDS_SHOWN:,} more that cannot be compared: see the log")


def _reason(finding: Finding, field: str) -> str:
    """Say why a field stays as it is, where that is known."""
    if field in finding.left_behind:
        return f" (left behind: {finding.left_behind[field]})"
    return f" ({LASTING})" if field in finding.lasting else ""


_EQUAL = {
    Level.COUNTS: "Every selected object is there, once",
    Level.CONTENT: "Both ends are equal in every field, and in names and sizes of files",
    Level.FULL: "Both ends are equal in every field and every byte",
}


def _no_difference(found: Verification) -> str:
    """Say that nothing differs, as far as that is true."""
    but = ", but for what was accepted" if found.accepted else ""
    if found.not_comparable:
        objects = counted(found.not_comparable, "object")
        return f"No difference was found{but}; {objects} could not be read, or not wholly."
    return f"{_EQUAL[found.level]}{but}."


def _close(console: Console, found: Verification, again: Invocation, *, repaired: bool) -> None:
    """Say how it ended, and name the command that helps, if there is one which was not just tried."""
    if not found.different:
        say(console, _no_difference(found))
        return
    say(console, f"The two ends differ in {counted(found.different, 'object')}.")
    if found.mendable and repaired:
        moved = "1 of them was moved again just now and still differs"
        if found.mendable > 1:
            moved = f"{found.mendable:,} of them were moved again just now and still differ"
        say(
            console,
            f"{moved}: a failure that is named above, or somebody else who writes there. "
            "Every failure: bulkexim status --failures",
        )
    elif found.mendable:
        objects = counted(found.mendable, "object")
        text = f"Next: move again what is missing or can be changed ({objects}), and nothing else."
        say_advice(console, Advice(text, again.command("migrate-workspace", repair=True)), again.secrets)
    if found.excess:
        text = f"In excess ({counted(found.excess, 'object')}): this shows them, and removes them with --yes."
        say_advice(console, Advice(text, again.command("sweep")), again.secrets)
    if found.left_behind:
        causes = ",".join(found.left_behind)
        say(
            console,
            f"What the last migration left behind ({causes}) makes {found.kept_back:,} of them differ: to move them "
            f"again does not bring it. Mend what the report of that migration names, or add --accept {causes}",
        )
    if left := found.different - found.mendable - found.excess - found.kept_back:
        stays = "1 stays as it is" if left == 1 else f"{left:,} stay as they are"
        say(
            console,
            f"{stays}: MLflow's API cannot change these fields, or shows no such folders, and a "
            "migration deletes nothing that the source does not have.",
        )
