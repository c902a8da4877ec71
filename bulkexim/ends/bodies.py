"""How calls that carry a list of values (tags, params, metric points, ...) are made in as few pieces as possible.

A gateway may take fewer bytes than MLflow does: nginx takes 1 MiB unless it is told otherwise. Where a server takes
less, it answers 413, and from then on it gets smaller bodies. MLflow refuses a whole call for one value that it does
not take: then the call is made in halves, so that nothing but that value stays behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import msgspec

from bulkexim.errors import Refused, TooLarge

T = TypeVar("T")

#: Bytes of a body at first. The rest of 1 MiB is for what stands in a body beside its list of values.
MOST = 900_000
#: A body with fewer bytes than this is not refused for its size alone.
LEAST = 1_000
#: Values that are refused alone, with none taken, after which the refusal is not for one of them.
HOPELESS = 10

#: One value of a list: the field of the body that it belongs to, and the value as it is encoded.
Item = tuple[str, Any]


class Declined(NamedTuple):
    """A value that the server does not take, not even in a body of its own."""

    item: Item
    error: Refused


def is_for_a_value(error: Refused) -> bool:
    """Return whether a call may have been refused for one of the values in it (``INVALID_PARAMETER_VALUE``)."""
    return type(error) is Refused and error.status == HTTPStatus.BAD_REQUEST


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

        A value that arrived with a call that was refused for another one may be sent again.

        :raises Refused: the call is refused whatever is in it
        """
        declined: list[Declined] = []
        waiting, taken = [items] if items else [], 0
        while waiting:
            given = waiting.pop()
            piece = _first(given, self.most)
            if len(piece) < len(given):
                waiting.append(given[len(piece) :])
            try:
                await send(piece)
                taken += len(piece)
            except Refused as error:
                self._learn(error)
                if len(piece) > 1:
                    half = _first(piece, _size(piece) // 2)
                    waiting += [piece[len(half) :], half]
                    continue
                declined.append(Declined(piece[0], error))
                if not taken and len(items) > 1 and len(declined) in (HOPELESS, len(items)) and is_for_a_value(error):
                    raise
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

    def _learn(self, error: Refused) -> None:
        """Remember that a body was refused for its size.

        :raises Refused: ``error``, where it is neither for the size of the body nor for a value in it
        """
        if is_for_a_value(error):
            return
        if not isinstance(error, TooLarge) or error.size < LEAST:
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
