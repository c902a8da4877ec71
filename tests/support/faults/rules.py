"""The faults, the rules that choose one for each request, and the record of what was chosen."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from time import monotonic
from typing import NamedTuple


class Fault(StrEnum):
    """What happens to one request."""

    PASS = "pass"
    BUSY_SECONDS = "429, Retry-After in seconds"
    BUSY_DATE = "429, Retry-After as a date"
    ERROR_500 = "500"
    ERROR_502 = "502"
    ERROR_503 = "503"
    ERROR_504 = "504"
    RESET_BEFORE = "reset before forwarding"
    RESET_AFTER = "reset after forwarding"
    LATE = "reset, forwarded some requests later"
    SILENT = "no answer, forwarded when the client has given up"
    CUT = "body cut short"
    PAGE = "HTML with status 200"
    TOKEN = "page token repeated"
    DRIP = "reply in drips"
    KILL_BEFORE = "killed before forwarding"
    KILL_AFTER = "killed after forwarding"
    KILL_MIDDLE = "killed in the middle of the reply"


KILLS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.KILL_MIDDLE)


class Asked(NamedTuple):
    """A request as rules see it; numbers begin with 1 and count both ends together."""

    number: int
    end: str
    method: str
    path: str


class Entry(NamedTuple):
    """A line of the log."""

    asked: Asked
    fault: Fault
    at: float
    """When it came, in seconds of the monotonic clock."""


Rule = Callable[[Asked], Fault]


def quiet(asked: Asked) -> Fault:
    """Nothing ever happens."""
    return Fault.PASS


@dataclass(frozen=True)
class KillAt:
    """Kills the client at one request."""

    number: int
    fault: Fault

    def __call__(self, asked: Asked) -> Fault:
        return self.fault if asked.number == self.number else Fault.PASS


@dataclass(frozen=True)
class Mix:
    """Faults by their share of all requests in percent; the same request number always meets the same fault."""

    seed: int
    percents: Mapping[Fault, float]

    def __call__(self, asked: Asked) -> Fault:
        rest = Random(f"{self.seed}/{asked.number}").random() * 100
        for fault, percent in self.percents.items():
            rest -= percent
            if rest < 0:
                return fault
        return Fault.PASS


@dataclass
class Admits:
    """A server that admits so many requests a second at one end, and answers 429 above."""

    rate: float
    end: str
    clock: Callable[[], float] = monotonic
    _tokens: float = field(init=False)
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens, self._last = self.rate, self.clock()

    def __call__(self, asked: Asked) -> Fault:
        if asked.end != self.end:
            return Fault.PASS
        now = self.clock()
        self._tokens = min(self.rate, self._tokens + (now - self._last) * self.rate)
        self._last = now
        if self._tokens < 1:
            return Fault.BUSY_SECONDS
        self._tokens -= 1
        return Fault.PASS


async def _nobody_to_kill() -> None:
    raise AssertionError("a rule kills, but nobody said whom")


@dataclass
class Faults:
    """What the proxies of one migration share: the rule, whom it kills, and the log."""

    rule: Rule = quiet
    kill: Callable[[], Awaitable[None]] = _nobody_to_kill
    retry_after: float = 1.0
    """Seconds that a 429 asks for."""
    late_by: int = 3
    """Requests of the same end after which a late one is forwarded."""
    log: list[Entry] = field(default_factory=list)

    def ask(self, end: str, method: str, path: str) -> Entry:
        """Chooses what happens to the next request, and notes it."""
        asked = Asked(len(self.log) + 1, end, method, path)
        self.log.append(Entry(asked, self.rule(asked), monotonic()))
        return self.log[-1]

    @property
    def counts(self) -> Counter[Fault]:
        """How often each fault was chosen."""
        return Counter(entry.fault for entry in self.log)

    def requests(self, end: str) -> int:
        """How many requests came to an end."""
        return sum(entry.asked.end == end for entry in self.log)

    def history(self) -> str:
        """The requests that met a fault, a line for each."""
        lines = (
            f"{asked.number} {asked.end} {asked.method} {asked.path}: {fault}"
            for asked, fault, _ in self.log
            if fault is not Fault.PASS
        )
        return "\n".join(lines)
