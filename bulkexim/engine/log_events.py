"""Writes every event of a migration to its log."""

from __future__ import annotations

from datetime import UTC, datetime

from structlog.typing import FilteringBoundLogger

from bulkexim.engine.events import (
    Activity,
    Changed,
    Event,
    FilesCopied,
    Finished,
    Found,
    Leftover,
    Listener,
    Looking,
    Noted,
    OutageBegan,
    OutageEnded,
    Outcome,
    PhaseEnded,
    PhaseSized,
    PhaseStarted,
    Skipped,
    StaysBehind,
    Stepped,
    Uncarried,
    Warned,
)


def logging_to(logger: FilteringBoundLogger) -> Listener:
    """Return a listener that writes one line for each object and state change, and for each phase."""

    def write(event: Event) -> None:
        match event:
            case Stepped(kind, source_id, name, state, dst_id):
                logger.info("state", kind=kind, name=name, source_id=source_id, destination_id=dst_id, state=str(state))
            case Finished():
                _finished(logger, event)
            case PhaseStarted(kind=kind) | Looking(kind=kind):
                logger.info("phase started", kind=kind)
            case Activity(what=what):
                logger.info("activity", what=what)
            case PhaseSized(kind=kind, total=total):
                logger.info("phase sized", kind=kind, objects=total)
            case PhaseEnded(kind=kind, seconds=seconds):
                logger.info("phase ended", kind=kind, seconds=seconds)
            case Found() | Noted() | FilesCopied():
                pass  # every object that was found has a line of its own; its notes and files are in the ledger
            case _:
                _aside(logger, event)

    return write


def _aside(
    logger: FilteringBoundLogger,
    event: Skipped | Uncarried | StaysBehind | OutageBegan | OutageEnded | Warned | Leftover | Changed,
) -> None:
    match event:
        case OutageBegan(server, trouble, why, since, patience):
            began = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
            logger.warning("no answer", server=server, trouble=trouble, why=why, since=began, patience=patience)
        case OutageEnded(server, seconds):
            logger.warning("answers again", server=server, seconds=round(seconds, 3))
        case Skipped(kind=kind, objects=objects):
            logger.warning("left out", kind=kind, objects=objects)
        case Uncarried(kind=kind, objects=objects, more=more):
            logger.warning("not carried", kind=kind, objects=objects, more=more)
        case StaysBehind(kind, cause, detail, source_id, name):
            logger.warning("left behind", kind=kind, name=name, source_id=source_id, cause=str(cause), detail=detail)
        case Warned(text):
            logger.warning("warning", text=text)
        case Leftover(kind, dst_id, name, why, detail):
            logger.warning("left over", kind=kind, name=name, destination_id=dst_id, why=str(why), detail=detail)
        case Changed(kind, source_id, name, how):
            logger.warning("changed meanwhile", kind=kind, name=name, source_id=source_id, how=str(how))


def _finished(logger: FilteringBoundLogger, event: Finished) -> None:
    write = logger.error if event.outcome is Outcome.FAILED else logger.info
    write(
        "finished",
        kind=event.kind,
        name=event.name,
        source_id=event.id,
        destination_id=event.dst_id,
        outcome=str(event.outcome),
        attempts=event.attempts,
        seconds=round(event.seconds, 3),
        bytes=event.bytes,
        cause=event.cause,
        error=event.error,
        temporary=event.temporary,
    )
