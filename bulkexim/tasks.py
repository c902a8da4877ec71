"""Task groups that raise what went wrong, not a group of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from bulkexim.errors import BulkeximError


@asynccontextmanager
async def together() -> AsyncIterator[TaskGroup]:
    """Run tasks that end together: the first failure cancels the others and is raised itself."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        raise _telling(group) from None


def _telling(error: BaseException) -> BaseException:
    """Return the one failure that tells most: an interruption, then our own bugs, then the gravest of our errors."""
    leaves = list(_leaves(error))
    return max(leaves, key=_gravity)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _gravity(error: BaseException) -> int:
    if not isinstance(error, Exception):
        return 1000
    return error.exit_code if isinstance(error, BulkeximError) else 100
