"""Whether a file that was not copied stays behind for good, or may be copied another time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from bulkexim.artifacts.copying import AtSource
from bulkexim.artifacts.place import Entry, NotTaken, Place, Unreadable
from bulkexim.errors import BadReply, BadValue, ObjectError, Refused, ServerFault, SwitchedOff
from bulkexim.left_behind import Cause, LeftBehind

T = TypeVar("T")

#: Times that a file is tried whose size changes while it is read.
ROUNDS = 5
#: Times that a file is tried on which its server fails, though it lists it as before.
LIKE_BEFORE = 2
#: Bytes that file systems take in one part of a path.
LONGEST_PART = 255


def is_final(error: ObjectError) -> bool:
    """Return whether a file or folder that could not be read will not be read another time either.

    It is not so where a server is away, or too busy. A server that answers, and fails on the same folder each time,
    does so for what is in it: a name that is no text, a damaged entry.
    """
    if isinstance(error, Refused | Unreadable):
        return True
    return (_is_fault(error) or isinstance(error, BadValue)) and not error.temporary


async def settled(entry: Entry, source: Place, copy: Callable[[Entry], Awaitable[T]]) -> T:
    """Return what ``copy`` makes of a file; it is listed and tried again where it is not as it was listed.

    :raises AtSource: the source lists the file, or did, and does not give it
    :raises ObjectError: the source may give it another time
    """
    rounds = like_before = 0
    while True:
        try:
            return await copy(entry)
        except AtSource as failed:
            if isinstance(failed.error, Refused | Unreadable):
                raise
            again = await _listed_again(entry, source, failed.error)
            rounds += 1
            like_before += again == entry
            if again is None or rounds == ROUNDS or like_before == LIKE_BEFORE:
                raise
            entry = again


async def _listed_again(entry: Entry, source: Place, error: ObjectError) -> Entry | None:
    """Return a file as it is listed by now, ``None`` where it is not.

    :raises ObjectError: ``error``, which is not about this file alone: its listing is not to be had either
    """
    if not (_is_fault(error) or isinstance(error, BadReply)):
        raise error
    try:
        found = await source.entries(entry.path.rpartition("/")[0])
    except ObjectError:
        raise error from None
    same = (one._replace(twin=entry.twin) for one in found if one.path == entry.path and not one.is_dir)
    return next(same, None)


@dataclass(slots=True)
class Refusals:
    """What the destination does not take of one object."""

    #: Files beside a folder of the same name, which only object storage holds both.
    twins: set[str] = field(default_factory=set)
    #: Those of them beside which the destination holds no folder.
    alone: set[str] = field(default_factory=set)
    #: What the destination says of every file, for it was started without the part that takes them.
    closed: SwitchedOff | None = None

    def known(self, entry: Entry) -> LeftBehind | None:
        """Return why a file stays behind, if that is known from another one."""
        if self.closed:
            return self.of(entry, self.closed)
        if entry.twin:
            self.twins.add(entry.path)
        twin = next(_above(entry.path, self.alone), None)
        return _beside(entry, twin) if twin else None

    def of(self, entry: Entry, error: ObjectError) -> LeftBehind:
        """Return that a file stays behind for an error of the destination.

        :raises ObjectError: ``error``, where the destination may take the file another time
        """
        if isinstance(error, SwitchedOff):
            self.closed = error
        twin = next(_above(entry.path, self.twins), None)
        if twin and (_is_fault(error) or isinstance(error, NotTaken)):
            self.alone.add(twin)
            return _beside(entry, twin)
        # A server that fails on a name that its file system cannot hold will always do so.
        if isinstance(error, Refused | NotTaken) or (_is_fault(error) and (entry.twin or _is_long(entry.path))):
            return LeftBehind(Cause.FILE_REFUSED, f"{entry.path}: {error}")
        raise error


def _beside(entry: Entry, twin: str) -> LeftBehind:
    return LeftBehind(Cause.FILE_REFUSED, f"{entry.path}: the destination holds no folder beside the file {twin!r}")


def _above(path: str, among: Collection[str]) -> Iterator[str]:
    """Yield the folders of a file that are ``among`` others."""
    if among:
        parts = path.split("/")
        yield from (folder for end in range(1, len(parts)) if (folder := "/".join(parts[:end])) in among)


def _is_fault(error: ObjectError) -> bool:
    """Return whether a server is there, and failed on this call."""
    return isinstance(error, ServerFault) and error.status == HTTPStatus.INTERNAL_SERVER_ERROR


def _is_long(path: str) -> bool:
    """Return whether a part of a path is too long for file systems."""
    return any(len(part.encode()) > LONGEST_PART for part in path.split("/"))
