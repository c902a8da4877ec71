"""Removes what migrations left at the destination beside the objects themselves, when it is told to."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from bulkexim.config import Endpoint, Settings
from bulkexim.engine.binding import bind
from bulkexim.engine.events import Leftover, Listener
from bulkexim.engine.leftovers import leftovers
from bulkexim.engine.migration import copier, ends, requests_since, sent_so_far, stopped
from bulkexim.engine.recovery import adopt
from bulkexim.engine.report import DIFFERENT, Failure
from bulkexim.errors import CallError, ObjectError
from bulkexim.kinds.order import every_kind, resolve
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.files import holding
from bulkexim.ledger.opening import journal, rehearsal

NOT_REMOVED = 3


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep found and removed. ``exit_code`` is what the command ends with."""

    found: tuple[Leftover, ...] = ()
    removed: int = 0
    failures: tuple[Failure, ...] = ()
    requests: dict[str, int] = {}
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 nothing is left over (any more), 4 something is, 3 something could not be removed."""
        if self.failures:
            return NOT_REMOVED
        return DIFFERENT if len(self.found) > self.removed else 0


async def sweep(
    source: Endpoint | str,
    destination: Endpoint | str,
    settings: Settings | None = None,
    *,
    remove: bool = False,
    listeners: Sequence[Listener] = (),
) -> Swept:
    """Find what earlier migrations of this pair of servers left over; with ``remove``, remove it.

    Of two objects that came from one, that stays which the ledger knows, or else the one that is complete.

    :raises BulkeximError: the servers could not be looked at; the subclass says whether repeating it helps
    """
    settings = settings or Settings()
    opened = journal if remove else rehearsal
    async with (
        ends(source, destination, settings, listeners) as servers,
        holding(settings.work_dir),
        opened(settings.work_dir) as ledger,
    ):
        try:
            await bind(ledger, *servers)
            return await _swept(Pair(*servers, ledger, settings), remove=remove)
        except CallError as error:
            raise stopped(error) from error


async def _swept(pair: Pair, *, remove: bool) -> Swept:
    started, before = time.monotonic(), sent_so_far(pair.source, pair.destination)
    scope = await resolve(pair)
    kinds = {kind.name: kind for kind in every_kind(pair, copier(*pair.servers, pair.settings), scope)}
    for kind in kinds.values():
        await adopt(kind, pair.ledger)
    found = [left async for left in leftovers(pair, kinds.values())]
    failures: list[Failure] = []
    # What holds other objects goes last.
    for left in reversed(found) if remove else ():
        try:
            await kinds[left.kind].discard(left.dst_id)
            await pair.ledger.vanished(left.kind, left.dst_id)
        except ObjectError as error:
            failures.append(Failure(left.kind, left.dst_id, left.name, error.cause, str(error)))
    return Swept(
        found=tuple(found),
        removed=len(found) - len(failures) if remove else 0,
        failures=tuple(failures),
        requests=requests_since(before, pair.source, pair.destination),
        seconds=time.monotonic() - started,
    )
