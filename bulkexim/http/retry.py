"""Which calls are sent again, for how long, and what it means when that does not help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from bulkexim.errors import (
    BadReply,
    BadValue,
    BulkeximError,
    CallError,
    Lost,
    NotSent,
    RacingDuplicate,
    ServerFault,
    TemporaryTrouble,
    Throttled,
    TimedOut,
    Unsure,
)

T = TypeVar("T")

#: Seconds for a connection to be made.
CONNECT_SECONDS = 10.0
#: Seconds for which a server that cannot be reached is waited for.
PATIENCE = 600.0
#: Seconds for which one call is repeated whose replies get lost, while the server may well answer others.
LOST_SECONDS = 120.0
#: Seconds before the second try of a call; each further pause is twice as long. As much again is left to chance.
FIRST_PAUSE = 0.2
#: A server that fails on one call fails for good after this many tries.
FAULT_TRIES = 5


class Repeat(Enum):
    """Whether a call may be sent twice (MLflow's own effects, not the HTTP method, decide)."""

    SAFE = "the same call twice has the effect of one"
    ONCE = "a second call would create a second object"
    TELLING = "the same call twice is refused as a duplicate, if the first was carried out"


@dataclass(slots=True)
class Traffic:
    """What has gone over the wire so far: requests, and bytes of artifacts."""

    requests: int = 0
    retries: int = 0
    #: Calls that may have been carried out, or may be yet, though no reply came.
    unsure: int = 0
    received: int = 0
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to insist: seconds in all, the longest pause between two tries, and seconds for a piece of a reply."""

    seconds: float = PATIENCE
    longest_pause: float = 20.0
    fault_tries: int = FAULT_TRIES
    reply: float = 120.0

    @property
    def timeout(self) -> httpx.Timeout:
        """What one request may take, as httpx has it."""
        return httpx.Timeout(self.reply, connect=CONNECT_SECONDS)


@dataclass(frozen=True, slots=True)
class Divisible:
    """A call that can be made again for less: more than ``reply`` bytes are not read, and it is given up sooner.

    Where it takes too long it is not repeated at all; where it fails or gets lost, ``tries`` times.
    """

    reply: int
    tries: int


@dataclass(frozen=True, slots=True)
class Tries:
    """The tries of one call at the server ``name``, of which the first has failed."""

    name: str
    what: str
    repeat: Repeat
    patience: Patience
    traffic: Traffic
    sleep: Callable[[float], Awaitable[None]]
    clock: Callable[[], float]
    divisible: Divisible | None = None

    async def after(self, first: CallError, began: float, send: Callable[[], Awaitable[T]]) -> T:
        """Run ``send`` until it succeeds, as long as its errors are worth it and the patience lasts.

        :raises Unsure: see `bulkexim.http.client.Client.call`
        :raises TemporaryTrouble: see `bulkexim.http.client.Client.call`
        """
        outcomes, met = iter([first]), _Met(self, began)

        async def once() -> T:
            if (failed := next(outcomes, None)) is not None:
                raise failed
            return await send()

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_worth_it),
            wait=wait_exponential(multiplier=FIRST_PAUSE, max=self.patience.longest_pause)
            + wait_random(0, FIRST_PAUSE),
            stop=met.enough,
            sleep=self._pause,
            reraise=True,
        )
        try:
            return await retrying(once)
        except CallError as error:
            meaning = self._meaning(error, met)
            if meaning is error:
                raise
            raise meaning from error

    def _meaning(self, error: CallError, met: _Met) -> BulkeximError:
        """Return what the error of the last try means for the call."""
        if self.repeat is Repeat.ONCE and not error.definite:
            self.traffic.unsure += 1
            return Unsure(error.problem, cause=error.cause, status=error.status, remedy=error.remedy)
        if _is_absence(error) and not (self.divisible and isinstance(error, Lost)):
            why = error.problem.partition(": ")[2].rstrip(".")
            return TemporaryTrouble(
                f"{self.what}: the {self.name} did not answer for {self.patience.seconds:.0f} s ({why}).",
                f"{error.remedy} Run the same command again when it is back.".lstrip(),
            )
        if met.faults >= self.patience.fault_tries:
            error.temporary = False  # It was the same every time.
        return error

    async def _pause(self, seconds: float) -> None:
        self.traffic.retries += 1
        await self.sleep(seconds)

    def _is_worth_it(self, error: BaseException) -> bool:
        if not isinstance(error, CallError) or not error.worth_repeating:
            return False
        if self.divisible and isinstance(error, TimedOut):
            return False
        if self.repeat is Repeat.TELLING:
            return not isinstance(error, RacingDuplicate)
        return self.repeat is Repeat.SAFE or error.definite


@dataclass(slots=True)
class _Met:
    """What the tries of one call met with, from the time ``began`` of the clock."""

    tries: Tries
    began: float
    faults: int = 0
    lost: int = 0

    def enough(self, state: RetryCallState) -> bool:
        """Return whether another try would be one too many."""
        error = state.outcome.exception() if state.outcome else None
        patience, divisible = self.tries.patience, self.tries.divisible
        self.faults += _is_fault(error)
        self.lost += isinstance(error, Lost) and (isinstance(error, BadValue) or not isinstance(error, BadReply))
        if divisible and self.lost >= divisible.tries:
            return True
        if _is_fault(error):
            return self.faults >= patience.fault_tries
        waited = self.tries.clock() - self.began
        if isinstance(error, Lost) and not _is_absence(error):
            return waited >= min(patience.seconds, LOST_SECONDS)
        return waited >= patience.seconds


def _is_fault(error: BaseException | None) -> bool:
    """Return whether the server is there and fails on this call, so that patience would hardly help."""
    if isinstance(error, ServerFault):
        return error.status == httpx.codes.INTERNAL_SERVER_ERROR
    return isinstance(error, BadReply | RacingDuplicate)


def _is_absence(error: BaseException) -> bool:
    """Return whether the server is not there, or not for anybody."""
    gone = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)
    return isinstance(error, NotSent | Throttled) or (isinstance(error, ServerFault) and error.status in gone)
