"""How large the bodies of calls to one server may be, for a gateway before it may take fewer bytes than MLflow does.

A call that carries a list of values (tags, params, metric points, ...) is made in as few pieces as its bytes allow.
nginx takes 1 MiB unless it is told otherwise; where a server takes less, it answers 413, and from then on it gets
smaller bodies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec

from bulkexim.errors import TooLarge

T = TypeVar("T")

#: Bytes of a body at first. The rest of 1 MiB is for what stands in a body beside its list of values.
MOST = 900_000
#: A body with fewer bytes than this is not refused for its size alone.
LEAST = 1_000

#: One value of a list: the field of the body that it belongs to, and the value as it is encoded.
Item = tuple[str, Any]


class Declined(NamedTuple):
    """A value that the server does not take, not even in a body of its own."""

    item: Item
    error: TooLarge


def fields(items: Iterable[Item]) -> dict[str, list[Any]]:
    """Return values as the lists of a body, by field."""
    found: dict[str, list[Any]] = {}
    for field, value in items:
        found.setdefault(field, []).append(value)
    return found


@dataclass(slots=True)
class Bodies:
    """What is known of the bodies that one server takes: ``most`` bytes of values."""

    most: int = MOST

    async def sent(self, items: Sequence[Item], send: Callable[[Sequence[Item]], Awaitable[object]]) -> list[Declined]:
        """Send values in order, in as few calls as it takes, and return those that are refused alone.

        A call that was refused for its size has changed nothing, so nothing arrives twice.

        :raises TooLarge: a body is refused that is small by any measure
        """
        declined: list[Declined] = []
        rest, room = items, self.most
        while rest:
            piece = _first(rest, min(room, self.most))
            try:
                await send(piece)
            except TooLarge as error:
                self._learn(error)
                if len(piece) > 1:
                    room = _size(piece) // 2
                    continue
                declined.append(Declined(piece[0], error))
            rest, room = rest[len(piece) :], self.most
        return declined

    async def created(
        self,
        fixed: Mapping[str, Any],
        needed: Sequence[Item],
        others: Sequence[Item],
        create: Callable[[Mapping[str, Any]], Awaitable[T]],
    ) -> tuple[T, bool]:
        """Create an object with as many of the ``others`` as one body holds; ``fixed`` and ``needed`` are always in it.

        Return what ``create`` returned, and whether all of the others were in the body.

        :raises TooLarge: the server does not take it without any of the others either
        """
        room = self.most - _size([fixed, needed])
        while True:
            some = _smallest(others, min(room, self.most))
            try:
                return await create({**fixed, **fields([*some, *needed])}), len(some) == len(others)
            except TooLarge as error:
                self._learn(error)
                if not some:
                    raise
                room = _size(some) // 2

    def _learn(self, error: TooLarge) -> None:
        """Remember that a body was refused.

        :raises TooLarge: ``error``, where that is not for its size
        """
        if error.size < LEAST:
            raise error
        self.most = max(LEAST, min(self.most, error.size // 2))


def _size(values: Any) -> int:
    return len(msgspec.json.encode(values))


def _first(items: Sequence[Item], room: int) -> Sequence[Item]:
    """Return as many of the first values as have room, at least one."""
    if _size(items) <= room:
        return items
    used = 0
    for number, item in enumerate(items):
        used += _size(item)
        if used > room and number:
            return items[:number]
    return items


def _smallest(items: Sequence[Item], room: int) -> Sequence[Item]:
    """Return as many values as have room, in their order: one that is large must not keep out all others."""
    if _size(items) <= room:
        return items
    sizes = [_size(item) for item in items]
    taken: set[int] = set()
    for number in sorted(range(len(items)), key=sizes.__getitem__):
        room -= sizes[number]
        if room < 0:
            break
        taken.add(number)
    return [item for number, item in enumerate(items) if number in taken]
