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
    CallError,
    Lost,
    NotSent,
    RacingDuplicate,
    ServerFault,
    TemporaryTrouble,
    Throttled,
    Unsure,
)

T = TypeVar("T")

#: Seconds for a connection to be made.
CONNECT_SECONDS = 10.0
#: Seconds for which a server that cannot be reached is waited for.
PATIENCE = 600.0
#: Seconds for which one call is repeated whose replies get lost, while the server may well answer others.
LOST_SECONDS = 120.0
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
class Tries:
    """The tries of one call at the server ``name``, of which the first has failed."""

    name: str
    what: str
    repeat: Repeat
    patience: Patience
    traffic: Traffic
    sleep: Callable[[float], Awaitable[None]]
    clock: Callable[[], float]

    async def after(self, first: CallError, began: float, send: Callable[[], Awaitable[T]]) -> T:
        """Run ``send`` until it succeeds, as long as its errors are worth it and the patience lasts.

        :raises Unsure: see `bulkexim.http.client.Client.call`
        :raises TemporaryTrouble: see `bulkexim.http.client.Client.call`
        """
        outcomes, faults = iter([first]), 0

        async def once() -> T:
            if (failed := next(outcomes, None)) is not None:
                raise failed
            return await send()

        def out_of_patience(state: RetryCallState) -> bool:
            nonlocal faults
            error = state.outcome.exception() if state.outcome else None
            if _is_fault(error):
                faults += 1
                return faults >= self.patience.fault_tries
            waited = self.clock() - began
            if isinstance(error, Lost) and not _is_absence(error):
                return waited >= min(self.patience.seconds, LOST_SECONDS)
            return waited >= self.patience.seconds

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_worth_it),
            wait=wait_exponential(multiplier=0.2, max=self.patience.longest_pause) + wait_random(0, 0.2),
            stop=out_of_patience,
            sleep=self._pause,
            reraise=True,
        )
        try:
            return await retrying(once)
        except CallError as error:
            if self.repeat is Repeat.ONCE and not error.definite:
                self.traffic.unsure += 1
                raise Unsure(error.problem, cause=error.cause, status=error.status) from error
            if _is_absence(error):
                why = error.problem.partition(": ")[2].rstrip(".")
                raise TemporaryTrouble(
                    f"{self.what}: the {self.name} did not answer for {self.patience.seconds:.0f} s ({why}).",
                    f"{error.remedy} Run the same command again when it is back.".lstrip(),
                ) from error
            if faults >= self.patience.fault_tries:
                error.temporary = False  # It was the same every time.
            raise

    async def _pause(self, seconds: float) -> None:
        self.traffic.retries += 1
        await self.sleep(seconds)

    def _is_worth_it(self, error: BaseException) -> bool:
        if not isinstance(error, CallError) or not error.worth_repeating:
            return False
        if self.repeat is Repeat.TELLING:
            return not isinstance(error, RacingDuplicate)
        return self.repeat is Repeat.SAFE or error.definite


def _is_fault(error: BaseException | None) -> bool:
    """Return whether the server is there and fails on this call, so that patience would hardly help."""
    if isinstance(error, ServerFault):
        return error.status == httpx.codes.INTERNAL_SERVER_ERROR
    return isinstance(error, BadReply | RacingDuplicate)


def _is_absence(error: CallError) -> bool:
    """Return whether the server is not there, or not for anybody."""
    gone = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)
    return isinstance(error, NotSent | Throttled) or (isinstance(error, ServerFault) and error.status in gone)
