"""The pages of one listing, in their order.

Some are asked for side by side, where their tokens can be foretold; tokens of any other kind are taken as they come.
The next page has as many rows as fit in some megabytes, by the bytes of the last one. A page that fails, takes too long
or is too large is asked for with half as many; a single row that the server cannot read is left out, and named.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeVar

import anyio

from bulkexim.ends.page_tokens import moved, offset_of, token_at
from bulkexim.errors import BadReply, BadValue, CallError, Lost, Refused, ReplyTooLarge
from bulkexim.http.retry import Divisible
from bulkexim.tasks import together

Page = TypeVar("Page")

#: Pages that are asked for at once: each keeps a whole server process busy, and small installations have few.
AT_ONCE = 2
#: Seconds between two of them: connections that come together are all taken by the same process of a server.
APART = 0.02
#: Bytes of a page as it should be, and bytes above which it is not read.
WANTED, MOST = 4_000_000, 16_000_000
#: Times as many rows as the page before that a page has at most.
GROWTH = 8
#: Tries of a page that can be made smaller.
TRIES = 3
#: Rows in a row that are left out because the server fails on each; on rows of which it loses the reply, that many.
LEFT_OUT, LOST = 20, 2
#: An offset at which no listing has a row.
NOWHERE = 1_000_000_000


class Wanted(NamedTuple):
    """One page: its token (the first has none), its rows if they can be chosen, and when it is given up for fewer."""

    token: str | None
    rows: int | None
    divisible: Divisible | None


#: Learns of a page and its size in bytes; may raise that it makes no sense, which has it asked for again.
Check = Callable[[Page, int], None]
Ask = Callable[[Wanted, Check[Page]], Awaitable[Page]]
#: Notes that the row at an offset cannot be read.
LeaveOut = Callable[[int, CallError], None]


@dataclass(slots=True)
class Pages(Generic[Page]):
    """One listing. ``most`` is how many rows a page may have, ``first`` how many the first one gets.

    ``leave_out`` is told each row that cannot be read; without it such a row ends the listing. ``at`` gives the token
    of an offset where no page has shown what tokens look like.
    """

    ask: Ask[Page]
    token: Callable[[Page], str | None]
    path: str
    most: int | None = None
    first: int | None = None
    leave_out: LeaveOut | None = None
    at: Callable[[int], str] = token_at
    _rows: int | None = None
    #: Rows that a page may have for now, and what it was before pages began to fail.
    _ceiling: int | None = None
    _ceiling_before: int | None = None
    #: Where the page ends that failed first.
    _bad_end: int | None = None
    #: How far the page after the next begins behind it, if that can be foretold.
    _step: int | None = None
    _sizes: dict[str | None, int] = field(default_factory=dict)
    _left_out: int = 0

    async def read(self) -> AsyncIterator[Page]:
        """Yield pages to the last; one that names a token which was there before is asked for again, as any bad reply.

        :raises BadReply: the server gives a page token again and again, so that its pages would never end
        :raises CallError: a page could not be read; those before it were yielded
        """
        self._ceiling, self._rows = self.most, min(self.first or self.most or 0, self.most or 0) or None
        asked: str | None = None
        seen: set[object] = set()
        while True:
            wave = [asked, *self._foretold(asked)]
            answers = await self._side_by_side(wave, seen)
            for one in wave:
                if _mark(one) != _mark(asked):
                    break  # The server goes on elsewhere than was foretold.
                answer = answers.pop(one)
                if isinstance(answer, CallError):
                    if not await self._is_of_its_rows(answer):
                        raise answer
                    asked = self._after(asked, answer)
                    break
                yield answer
                seen.add(_mark(asked))
                if not (following := self.token(answer)):
                    return
                self._learn(asked, following)
                asked = following

    async def _side_by_side(self, wave: list[str | None], seen: set[object]) -> dict[str | None, Page | CallError]:
        """Return what a few tokens bring. All of it has come before any is yielded, so no task is ever left behind."""
        found: dict[str | None, Page | CallError] = {}
        self._sizes.clear()

        async def fetch(asked: str | None, before: AbstractSet[object]) -> None:
            found[asked] = await self._page(asked, before)

        async with together() as tasks:
            for number, asked in enumerate(wave, start=1):
                if number > 1:
                    await anyio.sleep(APART)
                tasks.start_soon(fetch, asked, seen | set(map(_mark, wave[:number])))
        return found

    async def _page(self, asked: str | None, before: AbstractSet[object]) -> Page | CallError:
        def leads_on(page: Page, size: int) -> None:
            if (following := self.token(page)) and _mark(following) in before:
                raise BadReply(
                    f"{self.path}: the server repeats the page token {following!r}, so its pages would never end."
                )
            self._sizes[asked] = size

        divisible = Divisible(MOST, TRIES) if self._rows and self._rows > 1 else None
        try:
            return await self.ask(Wanted(asked, self._rows, divisible), leads_on)
        except CallError as error:
            return error

    def _foretold(self, token: str | None) -> list[str]:
        """Return tokens that come after one, if the last pages told how far apart they are."""
        offset = offset_of(token)
        if token is None or offset is None or self._step is None or self._ceiling_before is not None:
            return []
        return [moved(token, offset + number * self._step) for number in range(1, AT_ONCE)]

    def _learn(self, asked: str | None, following: str) -> None:
        """Choose the size of the next page by that of the one that came."""
        self._left_out = 0
        size, begin, end = self._sizes[asked], offset_of(asked), offset_of(following)
        if end is not None and self._bad_end is not None and end >= self._bad_end:
            self._ceiling_before = self._bad_end = None  # It was their number; so it stays as it is now.
        came = end - begin if begin is not None and end is not None and end > begin else None
        if self._rows is None or self._ceiling is None:
            self._step = self._step or came
            return
        as_asked = came == self._rows
        fitting = int(WANTED * (came or self._rows) / max(size, 1))
        self._rows = max(1, min(fitting, GROWTH * self._rows, self._ceiling))
        self._step = self._rows if as_asked else None

    async def _is_of_its_rows(self, error: CallError) -> bool:
        """Return whether a page may have failed for one of its rows, or for their number."""
        if self._rows is None or isinstance(error, BadReply):
            return self._rows is not None and isinstance(error, BadValue)
        if isinstance(error, Refused) and error.status == HTTPStatus.BAD_REQUEST and self.leave_out is not None:
            # A value that MLflow does not know is declined as if we had asked for it. Where there are no rows, it is
            # not; a question that makes no sense is declined there as well.
            try:
                await self.ask(Wanted(self.at(NOWHERE), 1, None), lambda _page, _size: None)
            except CallError:
                return False
            return True
        return isinstance(error, Lost | ReplyTooLarge)

    def _after(self, asked: str | None, error: CallError) -> str | None:
        """Return the token to go on with after a page failed: the same one for fewer rows, or that of the next row."""
        offset, rows = offset_of(asked), self._rows or 1
        if isinstance(error, ReplyTooLarge):
            self._rows = _fewer(rows, error.size)
            return asked
        if rows > 1:
            if self._ceiling_before is None:
                self._ceiling_before = self._ceiling
                self._bad_end = None if offset is None else offset + rows
            self._ceiling = self._rows = rows // 2
            return asked
        self._left_out += 1
        if self.leave_out is None or offset is None or self._left_out > (LOST if error.temporary else LEFT_OUT):
            raise error
        self.leave_out(offset, error)
        # That row explains what failed, so pages may be as large as before once it lies behind.
        self._ceiling, self._ceiling_before, self._bad_end = self._ceiling_before or self._ceiling, None, None
        return moved(asked, offset + 1) if asked else self.at(offset + 1)


def _fewer(rows: int, size: int | None) -> int:
    """Return how many rows a page can have, of which so many had so many bytes."""
    return max(1, min(rows // 2, int(rows * WANTED / size) if size else rows // 4))


def _mark(token: str | None) -> Any:
    """Return what makes two tokens the same: the same offset can be packed in several ways."""
    offset = offset_of(token)
    return token if offset is None else offset
