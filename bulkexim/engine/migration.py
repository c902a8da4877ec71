"""A migration from end to end: opens the ends and the ledger, runs the transfer, returns the report."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import msgspec
from anyio import to_thread

from bulkexim.artifacts.agreement import check_folder, writable
from bulkexim.artifacts.copier import Copier
from bulkexim.config import Endpoint, Settings
from bulkexim.ends.local_store import scheme
from bulkexim.ends.opening import opened
from bulkexim.ends.server import Server
from bulkexim.engine.binding import bind
from bulkexim.engine.counts import Counts
from bulkexim.engine.events import (
    Activity,
    Event,
    Events,
    FilesCopied,
    Listener,
    OutageBegan,
    OutageEnded,
    Warned,
)
from bulkexim.engine.report import Counting, Repeats, Report
from bulkexim.engine.transfer import transfer
from bulkexim.errors import BulkeximError, CallError, FatalError, TemporaryTrouble, UsageError
from bulkexim.http.address import server_address
from bulkexim.http.outage import Answer, Outage
from bulkexim.http.retry import Patience
from bulkexim.ids import SourceId
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.files import holding, set_aside
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.opening import journal
from bulkexim.platforms import check_platform

#: The workspace of a server that is asked without one.
DEFAULT_WORKSPACE = "default"


class Ends(NamedTuple):
    """Both servers of a migration."""

    source: Server
    destination: Server


async def migrate(
    source: Endpoint | str,
    destination: Endpoint | str,
    settings: Settings | None = None,
    *,
    listeners: Sequence[Listener] = (),
) -> Report:
    """Move what ``settings`` select from one MLflow server (or local store) to another, and report.

    :raises BulkeximError: the migration could not go on; the subclass says whether repeating it helps
    """
    settings = settings or Settings()
    async with ends(source, destination, settings, listeners) as (src, dst):
        return await migrate_between(src, dst, settings, listeners)


async def migrate_between(src: Server, dst: Server, settings: Settings, listeners: Sequence[Listener]) -> Report:
    """Move between two servers that are open already; see `migrate`."""
    started, before, repeated = time.monotonic(), sent_so_far(src, dst), _repeats(src, dst)
    counting = Counting(settings.accept)
    async with holding(settings.work_dir):
        if settings.rebuild_ledger:
            await to_thread.run_sync(set_aside, settings.work_dir)
        async with journal(settings.work_dir) as ledger:
            await ledger.started()
            pair = Pair(src, dst, ledger, settings)
            events = Events(counting, _noting(ledger, counting.counts), *listeners)
            try:
                for warning in await bind(ledger, src, dst):
                    events.emit(Warned(warning))
                async with writable(dst):
                    await transfer(pair, copier(src, dst, settings, events), events)
            except CallError as error:
                raise stopped(error) from error
            report = counting.report(
                seconds=time.monotonic() - started,
                requests=requests_since(before, src, dst),
                repeats=_repeats_since(repeated, src, dst),
            )
            await ledger.reported(msgspec.json.encode(report).decode())
            return report


def _noting(ledger: Journal, counts: Counts) -> Listener:
    """Return a listener that lets the ledger know how far each kind has come, for those who look meanwhile."""

    def note(event: Event) -> None:
        if event.kind in counts:
            ledger.progressed(counts[event.kind].progress)

    return note


def sent_so_far(src: Server, dst: Server) -> dict[str, int]:
    """Return the number of requests to either end, by its name."""
    return {"source": src.client.traffic.requests, "destination": dst.client.traffic.requests}


def requests_since(before: dict[str, int], src: Server, dst: Server) -> dict[str, int]:
    """Return the requests to either end since `sent_so_far` said ``before``."""
    return {name: number - before[name] for name, number in sent_so_far(src, dst).items()}


def _repeats(src: Server, dst: Server) -> dict[str, Repeats]:
    """Return how often either end had to be asked again so far, by its name."""
    clients = (src.client, dst.client)
    return {
        client.name: Repeats(client.traffic.retries, client.watched.number, client.watched.seconds)
        for client in clients
    }


def _repeats_since(before: dict[str, Repeats], src: Server, dst: Server) -> dict[str, Repeats]:
    """Return what has come since `_repeats` said ``before``."""
    return {
        name: Repeats(
            now.requests - before[name].requests,
            now.outages - before[name].outages,
            now.seconds - before[name].seconds,
        )
        for name, now in _repeats(src, dst).items()
    }


def stopped(error: CallError) -> BulkeximError:
    """Say what it means that a call failed which does not belong to one object, such as a listing."""
    if error.temporary:
        remedy = f"{error.remedy} What was moved so far is safe: run the same command again."
        return TemporaryTrouble(error.problem, remedy.lstrip())
    remedy = f"{error.remedy} What was moved so far is safe; mend this, then run the same command again."
    return FatalError(error.problem, remedy.lstrip())


def copier(src: Server, dst: Server, settings: Settings, events: Events | None = None) -> Copier:
    """Return the way artifacts go between two servers; ``events`` tell of the files as they arrive."""

    def tell(kind: str, src_id: str, files: int, size: int) -> None:
        if events is not None:
            events.emit(FilesCopied(kind, SourceId(src_id), files, size))

    direct = dst.capabilities.streams_uploads or dst.folder is not None
    spool_dir = None if direct else settings.work_dir
    return Copier(src.client, dst.client, spool_dir, tell=tell)


@asynccontextmanager
async def ends(
    source: Endpoint | str, destination: Endpoint | str, settings: Settings, listeners: Sequence[Listener] = ()
) -> AsyncIterator[Ends]:
    """Open both ends; ``listeners`` are told what that takes, and of outages until the ends are closed.

    :raises BulkeximError: one of them cannot be used
    """
    check_platform()
    src, dst = _endpoint(source, "source"), _endpoint(destination, "destination")
    _check_addresses(src, dst)
    patience = Patience(seconds=settings.patience_seconds, reply=settings.reply_seconds)
    events = Events(*listeners)

    def tell(what: str) -> None:
        events.emit(Activity(what))

    def watch(seen: Outage | Answer) -> None:
        if isinstance(seen, Outage):
            events.emit(OutageBegan(seen.name, seen.trouble, seen.why, seen.since, seen.patience))
        else:
            events.emit(OutageEnded(seen.name, seen.seconds))

    opening = partial(opened, patience=patience, tell=tell, watch=watch)
    serving = opening(src, "source", identity=settings.source_id, artifacts=settings.artifacts)
    async with serving as one, opening(dst, "destination") as other:
        for server in (one, other):
            await check_folder(server)
        yield Ends(one, other)


def _endpoint(given: Endpoint | str, name: str) -> Endpoint:
    if isinstance(given, Endpoint):
        return given
    if not isinstance(given, str):
        raise UsageError(f"The {name} is neither an Endpoint nor an address.", "Give one such as http://host:5000.")
    return Endpoint(uri=given)


def _check_addresses(src: Endpoint, dst: Endpoint) -> None:
    """Make sure that the two addresses are not the same; other addresses of one server show later, by what it holds."""
    if not {scheme(src.uri), scheme(dst.uri)} <= {"http", "https"}:
        return
    one = server_address(src.uri, "source").copy_with(userinfo=b"")
    other = server_address(dst.uri, "destination").copy_with(userinfo=b"")
    if one == other and (src.workspace or DEFAULT_WORKSPACE) == (dst.workspace or DEFAULT_WORKSPACE):
        raise FatalError(
            f"Source and destination are the same: {one}.",
            "Give two servers, or two workspaces of one server (--src-workspace, --dst-workspace).",
        )
