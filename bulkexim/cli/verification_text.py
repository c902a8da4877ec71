"""Prints what a comparison of both ends found."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from structlog.typing import FilteringBoundLogger

from bulkexim.cli.paper import grid, printer, say
from bulkexim.cli.table import show_remarks
from bulkexim.config import Level
from bulkexim.engine.verification import Finding, FindingListener, Verification

#: Objects and fields that are shown; the log and ``--json`` hold more.
OBJECTS_SHOWN = 20
FIELDS_SHOWN = 10


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
            detail=finding.detail,
        )

    return write


def show(verification: Verification, log_path: Path) -> None:
    """Print the numbers of each kind, and what is not the same."""
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
        say(console, f"  and {more:,} more objects: see the log")
    if verification.findings:
        say(console)
    show_remarks(console, verification.remarks)
    if verification.unselected:
        say(console, f"At the destination, but not selected: {verification.unselected:,} objects of this source.")
    requests = ", ".join(f"{number:,} to the {name}" for name, number in verification.requests.items())
    say(console, f"Compared by {verification.level} in {verification.seconds:,.1f} s. Requests: {requests}.")
    say(console, f"Log: {log_path}")
    say(console)
    say(console, _sentence(verification))


def _show(console: Console, finding: Finding) -> None:
    ids = " -> ".join(one for one in (finding.id, finding.dst_id) if one)
    detail = f": {finding.detail}" if finding.detail and not finding.differences else ""
    say(console, f"  {finding.verdict}  {finding.kind} {finding.name!r} ({ids}){detail}")
    for difference in finding.differences[:FIELDS_SHOWN]:
        say(console, f"      {difference}")
    if len(finding.differences) > FIELDS_SHOWN:
        say(console, f"      and {len(finding.differences) - FIELDS_SHOWN:,} more fields: see the log")


_EQUAL = {
    Level.COUNTS: "Every selected object is there, once.",
    Level.CONTENT: "Both ends are equal in every field, and in names and sizes of files.",
    Level.FULL: "Both ends are equal in every field and every byte.",
}


def _sentence(verification: Verification) -> str:
    if verification.different:
        return f"The two ends differ in {verification.different:,} objects. Next: run the migration again, then this."
    if verification.not_comparable:
        return f"No difference was found, but {verification.not_comparable:,} objects could not be read."
    return _EQUAL[verification.level]
