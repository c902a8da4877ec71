"""The pages of one listing, in their order; some are asked for side by side where their tokens can be foretold.

A page token of MLflow's own stores is the offset of the page, packed (``SearchUtils.create_page_token``); so the first
one tells where all others begin. Tokens of any other kind are taken as they come, page after page.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, TypeVar

import anyio
import msgspec

from bulkexim.errors import BadReply, CallError
from bulkexim.tasks import together

Page = TypeVar("Page")
#: Asks for the page of a token; the check may raise that a reply makes no sense, which has it asked for again.
GetPage = Callable[[str | None, Callable[[Page], None]], Awaitable[Page]]
#: What makes two tokens the same.
_Mark = int | str

#: Pages that are asked for at once: each keeps a whole server process busy, and small installations have few.
AT_ONCE = 2
#: Seconds between two of them: connections that come together are all taken by the same process of a server.
APART = 0.02


class _Offset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    offset: Annotated[int, msgspec.Meta(gt=0)]


def token_at(offset: int) -> str:
    """Return the token of the page that begins at an offset, as MLflow's own stores have it."""
    return b64encode(msgspec.json.encode(_Offset(offset))).decode()


async def pages(get: GetPage[Page], token: Callable[[Page], str | None], path: str) -> AsyncIterator[Page]:
    """Yield pages to the last; one that names a token which was there before is asked for again, as any bad reply.

    :raises BadReply: the server gives a page token again and again, so that its pages would never end
    :raises CallError: a page could not be read; those before it were yielded
    """

    async def one(asked: str | None, before: AbstractSet[_Mark]) -> Page | CallError:
        def leads_on(page: Page) -> None:
            if (following := token(page)) and _mark(following) in before:
                raise BadReply(
                    f"{path}: the server repeats the page token {following!r}, so its pages would never end."
                )

        try:
            return await get(asked, leads_on)
        except CallError as error:
            return error

    page = _good(await one(None, frozenset()))
    yield page
    following, seen = token(page), set[_Mark]()
    step = _mark(following) if following else None
    while following:
        wave = [following, *_foretold(following, step)]
        for asked, answer in zip(wave, await _side_by_side(one, wave, seen), strict=True):
            if _mark(asked) != _mark(following):
                break  # The server goes on elsewhere than was foretold.
            page = _good(answer)
            yield page
            seen.add(_mark(asked))
            if not (following := token(page)):
                return


async def _side_by_side(
    one: Callable[[str, AbstractSet[_Mark]], Awaitable[Page | CallError]], wave: Sequence[str], seen: AbstractSet[_Mark]
) -> list[Page | CallError]:
    """Return what a few tokens bring. All of it has come before any is yielded, so no task is ever left behind."""
    found: dict[str, Page | CallError] = {}

    async def fetch(asked: str, before: AbstractSet[_Mark]) -> None:
        found[asked] = await one(asked, before)

    async with together() as tasks:
        for number, asked in enumerate(wave, start=1):
            if number > 1:
                await anyio.sleep(APART)
            tasks.start_soon(fetch, asked, seen | set(map(_mark, wave[:number])))
    return [found[asked] for asked in wave]


def _good(answer: Page | CallError) -> Page:
    if isinstance(answer, CallError):
        raise answer
    return answer


def _mark(token: str) -> _Mark:
    """Return the offset that a token holds, or the token itself: the same offset can be packed in several ways."""
    try:
        return msgspec.json.decode(b64decode(token, validate=True), type=_Offset).offset
    except (ValueError, msgspec.DecodeError):
        return token


def _foretold(token: str, step: _Mark | None) -> list[str]:
    """Return the tokens that come after one, if the first of all told how far apart they are."""
    offset = _mark(token)
    if not (isinstance(offset, int) and isinstance(step, int)):
        return []
    return [token_at(offset + number * step) for number in range(1, AT_ONCE)]
