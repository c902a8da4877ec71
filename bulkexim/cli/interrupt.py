"""Ctrl-C and SIGTERM: the first ends the work in good order, the second ends the process."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskStatus

from bulkexim.cli.failures import INTERRUPTED, Interrupted
from bulkexim.errors import BulkeximError
from bulkexim.tasks import together

T = TypeVar("T")


async def interruptible(work: Callable[[], Awaitable[T]], say: Callable[[str], None]) -> T:
    """Run ``work`` and return its result; a signal cancels it, and it may finish what must not be left half done.

    :raises Interrupted: it was cancelled
    """
    scope = anyio.CancelScope()
    results: list[T] = []

    async def watch(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if scope.cancel_called:
                    os._exit(INTERRUPTED)
                say("Stopping: what is on its way is finished. Once more stops at once; nothing is lost either way.")
                scope.cancel()

    try:
        async with together() as tasks:
            await tasks.start(watch)
            with scope:
                results.append(await work())
            tasks.cancel_scope.cancel()
    except BulkeximError as error:
        if scope.cancel_called:
            raise Interrupted("Interrupted.") from error
        raise
    if not results:
        raise Interrupted("Interrupted.")
    return results[0]
