"""Text that the destination may not take: sent whole, cut only where that is refused, kept whole in tags in any case.

The columns of MLflow's tables have lengths (3.17.2: ``mlflow.store.tracking.dbmodels.models`` and
``mlflow.store.model_registry.dbmodels.models``). SQLite takes text of any length; PostgreSQL and MySQL refuse the whole
call, and PostgreSQL a NUL character too. No server tells what it stands on. So that what is written depends on the
content alone, whatever is longer than its column stands whole in tags as well:

* ``bulkexim.long.<what>.<number>.<key>`` holds a piece of it; ``<key>`` tells tags, params and datasets apart;
* ``bulkexim.long.json.<what>.<number>.<key>`` the same, as a JSON string, of a text with NUL characters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple, TypeVar

import msgspec

from bulkexim.ends.capabilities import Capabilities
from bulkexim.errors import Refused, TooLarge
from bulkexim.ids import PREFIX, digest
from bulkexim.kinds.base import Remark
from bulkexim.kinds.wire import KEY_LIMIT, Tag, fitting

T = TypeVar("T")

#: Characters that a column holds.
EXPERIMENT_NAME = MODEL_NAME = 256
RUN_NAME = 250
USER = 256
DESCRIPTION = 5000
MODEL_TAG = 5000
SOURCE = RUN_LINK = 500
RUN_ID = 32
LOGGED_MODEL_NAME = LOGGED_MODEL_TYPE = 500
LOGGED_MODEL_KEY = 255
_DATASET = {"name": 500, "digest": 36, "source_type": 36, "source": 65_535, "profile": 16_777_215}
INPUT_TAG_KEY, INPUT_TAG = 255, 500
#: What MySQL calls TEXT; elsewhere it has no end.
TEXT = 65_535

NUL = "\0"
_LONG = PREFIX + "long."


class Lengths(NamedTuple):
    """The longest values that the API of a server takes (``mlflow.utils.validation``).

    A longer param or tag of a run is cut there without a word, whatever the database; the others are refused.
    """

    param: int = 6000
    tag: int = 8000
    experiment_tag: int = 20_000
    model_tag: int = 100_000
    version_tag: int = 100_000
    schema: int = 1_048_575


def lengths(server: Capabilities) -> Lengths:
    """Return the lengths of a server; read from released packages, and of those between two the smaller."""
    return Lengths(
        param=6000 if server.version >= (2, 9) else 500,
        tag=8000 if server.version >= (2, 22) else 5000,
        experiment_tag=20_000 if server.version >= (3, 16) else 5000,
        model_tag=100_000 if server.version >= (3, 0) else 5000,
        version_tag=100_000 if server.version >= (3, 0) else 5000,
        schema=1_048_575 if server.version >= (2, 22) else 65_535,
    )


class Text(NamedTuple):
    """A text that would be written: in which field (``what``), and how many characters that holds.

    ``key`` tells texts of one field apart, such as the key of a tag.
    """

    what: str
    value: str
    limit: int
    key: str = ""

    @property
    def fits(self) -> bool:
        """Whether every database takes it."""
        return len(self.value) <= self.limit and NUL not in self.value


def unfit(*texts: Text) -> list[Text]:
    """Return the texts that may be more than the destination takes."""
    return [text for text in texts if not text.fits]


def unfit_tags(tags: Iterable[Tag], limit: int, *, what: str = "tag", key_limit: int = KEY_LIMIT) -> list[Text]:
    """Return the values, and keys, of tags or params that may be more than the destination takes."""
    found: list[Text] = []
    for tag in tags:
        if len(tag.value) > limit or NUL in tag.value:
            found.append(Text(what, tag.value, limit, tag.key))
        if len(tag.key) > key_limit or NUL in tag.key:
            # Told apart by the digest in which the key ends there (`fitting`).
            found.append(Text(f"{what} key", tag.key, key_limit, digest(tag.key.encode())))
    return found


def copies(unfitting: Iterable[Text], piece: int) -> list[Tag]:
    """Return tags that keep what may be cut elsewhere, in pieces of so many characters."""
    tags: list[Tag] = []
    for text in unfitting:
        value = msgspec.json.encode(text.value).decode() if NUL in text.value else text.value
        for number, start in enumerate(range(0, len(value), piece)):
            key = f"{_kept(text)}.{number}.{text.key}" if text.key else f"{_kept(text)}.{number}"
            tags.append(Tag(fitting(key), value[start : start + piece]))
    return tags


def told(unfitting: Iterable[Text]) -> list[Remark]:
    """Return what is to be told of texts that may be cut."""
    remarks: list[Remark] = []
    for text in unfitting:
        why = f"NUL character in {text.what}" if NUL in text.value else f"{text.what} longer than {text.limit}"
        named = f"{text.key}: " if text.key else ""
        remarks.append(Remark(why, f"{named}whole value in tags {_kept(text)}.*"))
    return remarks


def whole_tag(tags: Iterable[Tag], key: str) -> str:
    """Return the value of one tag as it was before it was cut, or nothing."""
    held = {tag.key: tag.value for tag in tags}
    for form in ("", "json."):
        pieces: list[str] = []
        while (piece := held.get(fitting(f"{_LONG}{form}tag.{len(pieces)}.{key}"))) is not None:
            pieces.append(piece)
        text = "".join(pieces)
        with suppress(msgspec.DecodeError):  # Somebody may have changed it.
            if text:
                return msgspec.json.decode(text, type=str) if form else text
    return held.get(key, "")


def is_copy(tag: Tag) -> bool:
    """Return whether a tag keeps what may be cut elsewhere."""
    return tag.key.startswith(_LONG)


def _kept(text: Text) -> str:
    return f"{_LONG}{'json.' if NUL in text.value else ''}{text.what.replace(' ', '_')}"


def dataset_lengths(longest: Lengths) -> list[tuple[str, int]]:
    """Return the fields of a dataset with their lengths."""
    return [*_DATASET.items(), ("schema", longest.schema)]


class Form(Enum):
    """How text is sent: as it is, or so that every database takes it."""

    WHOLE = "whole"
    CUT = "cut"

    def text(self, value: str, limit: int) -> str:
        """Return a text in this form."""
        return value if self is Form.WHOLE else cut(value, limit)

    def tags(self, tags: Sequence[Tag], limit: int, *, key_limit: int = KEY_LIMIT) -> Sequence[Tag]:
        """Return tags, or params, in this form."""
        if self is Form.WHOLE:
            return tags
        return [Tag(fitting(tag.key, key_limit), cut(tag.value, limit)) for tag in tags]


def cut(value: str, limit: int) -> str:
    """Return what every database takes of a text."""
    return value.replace(NUL, "")[:limit]


async def whole_or_cut(call: Callable[[Form], Awaitable[T]], *, cuttable: bool) -> T:
    """Make a call with its text whole; where that is refused, and something of it may be too long, make it cut.

    :raises Refused: the server takes neither
    """
    try:
        return await call(Form.WHOLE)
    except Refused as error:
        if not (cuttable and (is_for_text(error) or isinstance(error, TooLarge))):
            raise
    return await call(Form.CUT)


def is_for_text(error: Refused) -> bool:
    """Return whether a call may have been refused for text that is in it."""
    return type(error) is Refused and error.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR)


def missing(wanted: Iterable[Tag], existing: Iterable[Tag], limit: int) -> list[Tag]:
    """Return those of some tags that do not exist yet, neither whole nor cut."""
    held = {(tag.key, tag.value) for tag in existing}
    return [
        tag
        for tag in wanted
        if (tag.key, tag.value) not in held and (fitting(tag.key), cut(tag.value, limit)) not in held
    ]
