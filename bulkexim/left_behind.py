"""What stays behind at the source: its causes, each under the word that ``--accept`` takes."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self

from bulkexim.masking import shaped


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
    VERSION_SOURCE = "version-source"
    """A model version does not point to the files that it points to at the source."""
    NOT_COUNTED = "not-counted"
    """A kind or a listing could not be counted, so nobody knows what of it stays behind."""


class _LeftBehind(NamedTuple):
    cause: Cause
    detail: str


class LeftBehind(_LeftBehind):
    """One thing that stays behind: its cause, and in words what it is, such as the path of a file, and why."""

    __slots__ = ()

    def __new__(cls, cause: Cause, detail: str) -> Self:
        """Make one; a detail that quotes the object does not repeat a secret in it."""
        return super().__new__(cls, cause, shaped(detail))
