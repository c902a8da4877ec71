"""Ctrl-C, SIGTERM and a lost terminal: the first ends the work in good order, the second ends the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskStatus

from bulkexim.cli.failures import HungUp, Interrupted, Terminated
from bulkexim.errors import BulkeximError
from bulkexim.tasks import together

T = TypeVar("T")

_MEANINGS = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated, signal.SIGHUP: HungUp}


async def interruptible(work: Callable[[], Awaitable[T]], say: Callable[[str], None]) -> T:
    """Run ``work`` and return its result; a signal cancels it, and it may finish what must not be left half done.

    :raises Interrupted: it was cancelled
    """
    scope = anyio.CancelScope()
    results: list[T] = []
    stopped_by: list[type[Interrupted]] = []

    async def watch(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(*_watched()) as signals:
            task_status.started()
            async for number in signals:
                if stopped_by:
                    os._exit(_MEANINGS[number].exit_code)
                stopped_by.append(_MEANINGS[number])
                say("Stopping: what is on its way is finished. Once more stops at once; nothing is lost either way.")
                scope.cancel()

    try:
        async with together() as tasks:
            await tasks.start(watch)
            with scope:
                results.append(await work())
            tasks.cancel_scope.cancel()
    except BulkeximError as error:
        if stopped_by:
            raise stopped_by[0]("Interrupted.") from error
        raise
    if not results:
        raise (stopped_by or [Interrupted])[0]("Interrupted.")
    return results[0]


def _watched() -> list[signal.Signals]:
    """Return the signals that end the work; ``nohup`` wants a lost terminal to be none of them."""
    lasting = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _MEANINGS if not (lasting and number is signal.SIGHUP)]
