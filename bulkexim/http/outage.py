"""Notices when a server does not answer any more, and when it answers again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

from bulkexim.errors import BadReply, CallError, Lost, NotSent, ServerFault, Throttled

#: Seconds without an answer after which it is told.
AFTER = 5.0
_GONE = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


class Trouble(StrEnum):
    """Why calls to a server are repeated, as a sentence about it says it."""

    SILENT = "does not answer"
    BUSY = "has too much to do"
    THROTTLING = "asks for fewer requests"


class Outage(NamedTuple):
    """The server ``name`` answered no call since ``since`` (seconds of the epoch); it is waited for ``patience`` s."""

    name: str
    trouble: Trouble
    why: str
    since: float
    patience: float


class Answer(NamedTuple):
    """The server ``name`` answers again, ``seconds`` after an outage began."""

    name: str
    seconds: float


Watch = Callable[[Outage | Answer], None]


def nobody(_: Outage | Answer) -> None:
    """Watch without telling anybody."""


@dataclass(slots=True)
class Watched:
    """What is known of the answers of one server; ``watch`` is told of each outage once, and of its end.

    ``number`` and ``seconds`` are those of the outages so far in which the server was silent.
    """

    name: str
    watch: Watch = nobody
    clock: Callable[[], float] = time.monotonic
    number: int = 0
    seconds: float = 0.0
    _answered: float = float("-inf")
    #: When the first call was sent to which no answer came.
    _since: float | None = None
    _told: Trouble | None = None

    def answered(self) -> None:
        """Note that the server answered a call, whatever it said."""
        self._answered = self.clock()
        if self._since is not None and self._told is not None:
            seconds = self._answered - self._since
            if self._told is Trouble.SILENT:
                self.number += 1
                self.seconds += seconds
            self.watch(Answer(self.name, seconds))
        self._since = self._told = None

    def failed(self, error: CallError, sent: float, patience: float) -> None:
        """Note that a call, ``sent`` at that time of the clock, failed; ``patience`` is for how long it is repeated."""
        trouble = _trouble(error)
        if trouble is None:
            self.answered()
            return
        if self._since is None:
            self._since = max(sent, self._answered)
        lasted = self.clock() - self._since
        announced = (error.retry_after or 0.0) if isinstance(error, Throttled) else 0.0
        if self._told is None and max(lasted, announced) >= AFTER:
            self._told = trouble
            why = error.problem.partition(": ")[2].rstrip(".")
            self.watch(Outage(self.name, trouble, why, time.time() - lasted, patience))


def _trouble(error: CallError) -> Trouble | None:
    """Return what a failed call says of its server; ``None`` where it is there and answered."""
    if isinstance(error, Throttled):
        return Trouble.THROTTLING if error.status == HTTPStatus.TOO_MANY_REQUESTS else Trouble.BUSY
    if isinstance(error, BadReply) or (isinstance(error, ServerFault) and error.status not in _GONE):
        return None
    return Trouble.SILENT if isinstance(error, NotSent | Lost) else None
