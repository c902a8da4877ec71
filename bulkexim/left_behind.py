"""What stays behind at the source: its causes, each under the word that ``--accept`` takes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Self

from bulkexim.errors import UsageError
from bulkexim.expected import nearest
from bulkexim.masking import shaped

#: Characters of a word that a sentence repeats.
_SHOWN = 80


class Cause(StrEnum):
    """Why a file, link or value of a selected object is not at the destination, or could not even be counted."""

    FILE_NAME = "file-name"
    """No request can name the file or folder at one of the two ends."""
    FILE_UNREADABLE = "file-unreadable"
    """The source lists the file and does not give it."""
    FILE_REFUSED = "file-refused"
    """The destination does not take the file."""
    FOLDER = "folder"
    """A folder of a local store belongs to no object that MLflow shows."""
    LINK = "link"
    """Two objects are there, and MLflow's API cannot link them."""
    VALUE = "value"
    """A value was cut or left out, and is not kept whole anywhere at the destination."""
    VALUE_REFUSED = "value-refused"
    """The destination, or a gateway before it, does not take the value, for its size or as such."""
    VERSION_SOURCE = "version-source"
    """A model version does not point to the files that it points to at the source."""
    NOT_COUNTED = "not-counted"
    """A kind or a listing could not be counted, so nobody knows what of it stays behind."""


#: Kinds that are not moved yet; what the source holds of them is counted.
UNSUPPORTED_KINDS = (
    "trace",
    "prompt",
    "evaluation_dataset",
    "scorer",
    "webhook",
    "issue",
    "gateway_endpoint",
    "mcp_server",
)


def accepts(accepted: Iterable[str], word: str) -> bool:
    """Return whether a cause or kind is among the words that ``--accept`` was given; ``_`` and ``-`` are the same."""
    return _plain(word) in map(_plain, accepted)


def check_accepted(accepted: Iterable[str]) -> None:
    """Make sure that each word for ``--accept`` is a cause or a kind that is not moved.

    :raises UsageError: one is not
    """
    known = (*Cause, *UNSUPPORTED_KINDS)
    for word in accepted:
        if not accepts(known, word):
            problem = f"--accept: nothing stays behind under the name {word[:_SHOWN]!r}."
            raise UsageError(problem, nearest(word, known))


def _plain(word: str) -> str:
    return word.replace("_", "-")


class _LeftBehind(NamedTuple):
    cause: Cause
    detail: str


class LeftBehind(_LeftBehind):
    """One thing that stays behind: its cause, and in words what it is, such as the path of a file, and why."""

    __slots__ = ()

    def __new__(cls, cause: Cause, detail: str) -> Self:
        """Make one; a detail that quotes the object does not repeat a secret in it."""
        return super().__new__(cls, cause, shaped(detail))
