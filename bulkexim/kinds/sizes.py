"""Values that the destination, or a gateway before it, may refuse: for their size, or for what they are.

An object is created with as many of its tags and params as one body holds; the others follow when it is filled. A value
that is refused alone stays behind, by name.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from posixpath import normpath
from typing import Any, TypeVar

from bulkexim.ends.bodies import Declined, Item, is_for_a_value
from bulkexim.ends.server import Server
from bulkexim.errors import Refused, TooLarge
from bulkexim.http.retry import Repeat
from bulkexim.ids import ORIGIN, PREFIX
from bulkexim.kinds.columns import Form, is_copy, unfit_tags, whole_or_cut
from bulkexim.kinds.wire import KEY_LIMIT, Tag
from bulkexim.left_behind import Cause, LeftBehind

T = TypeVar("T")

#: Characters of a tag of our own that is in every create.
SHORT = 1000
#: Keys of tags that a run takes at any time; `create` takes all others too.
_PLAIN = re.compile(r"[/\w.\- :]+")
#: What one value of a list in a body is called.
_WORDS = {"params": "param", "tags": "tag", "metrics": "metric", "datasets": "dataset", "models": "logged model"}


async def create(
    server: Server,
    path: str,
    given: Mapping[str, Any],
    reply: type[T],
    *,
    tags: Iterable[Tag],
    params: Iterable[Tag] = (),
    bare: bool,
    repeat: Repeat = Repeat.SAFE,
) -> tuple[T, bool]:
    """Make a create call, without the fields that are empty; return the reply, and whether everything was in the body.

    With ``bare``, what is refused with its tags and params is created with no tags but our own.

    :raises Refused: the server does not take it
    """
    needed, others = list[Item](), [("params", param) for param in params]
    for tag in tags:
        (needed if _is_essential(tag) else others).append(("tags", tag))
    fixed = {key: value for key, value in given.items() if value not in ("", None)}
    own = [row for row in needed if _is_own(row[1])]

    async def post(body: Mapping[str, Any]) -> T:
        return await server.create(path, body, reply, repeat)

    try:
        return await server.bodies.created(fixed, needed, others, post)
    except Refused as error:
        if not (bare and is_for_a_value(error)) or (not others and own == needed):
            raise
    made, _ = await server.bodies.created(fixed, own, (), post)
    return made, False


def _is_essential(tag: Tag) -> bool:
    """Return whether an object is recognised by a tag, or no later call takes its key (``_validate_tag_name``)."""
    plain = len(tag.key) <= KEY_LIMIT and _PLAIN.fullmatch(tag.key) and normpath(tag.key) == tag.key
    return _is_own(tag) or not plain


def _is_own(tag: Tag) -> bool:
    """Return whether an object is recognised by a tag."""
    ours = tag.key.startswith(PREFIX) and not (tag.key.startswith(ORIGIN) or is_copy(tag))
    return ours and len(tag.value) <= SHORT


async def set_each(tags: Iterable[Tag], post: Callable[[Tag], Awaitable[None]], limit: int) -> list[LeftBehind]:
    """Set tags with a call for each; one of more than ``limit`` characters is sent cut where it is refused whole.

    Return those that are refused.
    """
    left: list[LeftBehind] = []
    for tag in tags:

        async def send(form: Form, tag: Tag = tag) -> None:
            await post(*form.tags([tag], limit))

        try:
            await whole_or_cut(send, cuttable=bool(unfit_tags([tag], limit)))
        except Refused as error:
            if not (is_for_a_value(error) or isinstance(error, TooLarge)):
                raise
            left.append(_left(("tags", tag), error))
    return left


def refused(declined: Iterable[Declined]) -> list[LeftBehind]:
    """Return what stays behind because it is refused."""
    return [_left(*one) for one in declined]


def _left(item: Item, error: Refused) -> LeftBehind:
    field, value = item
    key = value["dataset"].get("name", "") if field == "datasets" else getattr(value, "key", value)
    return LeftBehind(Cause.VALUE_REFUSED, f"{_WORDS[field]} {key!r}: {error}")
