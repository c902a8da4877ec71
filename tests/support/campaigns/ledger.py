"""K3: the ledger is lost, cut, or cannot be written; what it says is rebuilt, or the run stops clearly."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.campaigns.children import child
from tests.support.campaigns.ground import Ground, Trial, trial
from tests.support.campaigns.kill import undisturbed
from tests.support.faults import Fault, KillAt

#: The exit code for a ledger that is damaged, and for one that could not be written.
DAMAGED, NO_SPACE = 7, 5

Harm = Callable[[Path], str]


@dataclass(frozen=True)
class Ledgers:
    """What became of the trials; whatever is listed is a fault of the migrator."""

    trials: int
    rebuilt: int
    """Runs that found a harmed ledger and ended with 0."""
    stopped: int
    """Runs that refused a harmed ledger in a sentence; the next one, without it, ended with 0."""
    unclear: tuple[str, ...]
    """Runs that ended in any other way."""
    differences: tuple[str, ...]
    doubled: tuple[str, ...]
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, nothing doubled, and every stop was clear."""
        return not (self.unclear or self.differences or self.doubled)


def deleted(work_dir: Path) -> str:
    """Deletes the ledger."""
    for path in _parts(work_dir):
        path.unlink()
    return "deleted"


def cut(part: str, seed: int) -> Harm:
    """Cuts a part of the ledger (``ledger.db`` or its log ``ledger.db-wal``) at a random offset."""

    def harm(work_dir: Path) -> str:
        path = work_dir / part
        if not path.exists():
            return f"{part} is not there"
        size = path.stat().st_size
        keep = Random(seed).randint(0, size)
        os.truncate(path, keep)
        return f"{part} cut to {keep} of {size} bytes"

    return harm


def _parts(work_dir: Path) -> list[Path]:
    return sorted(work_dir.glob("ledger.db*"))


async def harm_ledgers(ground: Ground, *, cuts: int, limits: int, seed: int = 1) -> Ledgers:
    """K3: delete the ledger at half-time, cut it at random offsets, and let the disk be full."""
    began = time.monotonic()
    outcome: dict[str, int] = {"rebuilt": 0, "stopped": 0}
    unclear: list[str] = []
    differences: list[str] = []
    chance = Random(seed)
    harms: list[Harm] = [deleted]
    harms += [cut(("ledger.db", "ledger.db-wal")[number % 2], seed + number) for number in range(cuts)]
    async with child() as at:
        needed = await undisturbed(ground, at)
        for harm in harms:
            async with trial(ground, at, "harmed") as one:
                when = chance.randint(needed // 4, 3 * needed // 4)
                await one.run(KillAt(when, Fault.KILL_AFTER))
                which = f"killed at {when}, {harm(one.work_dir)}"
                unclear += [f"{which}: {line}" for line in await _resumed(one, outcome)]
                differences += [f"{which}: {line}" for line in await one.differences()]
        for _ in range(limits):
            async with trial(ground, at, "full") as one:
                limit = chance.randint(8, 120) * 1024
                which = f"files of at most {limit} bytes"
                ended = await one.run(file_limit=limit)
                if ended.exit_code not in (0, NO_SPACE):
                    unclear.append(f"{which}: {ended.exit_code} {ended.error}")
                unclear += [f"{which}, then room: {line}" for line in await _resumed(one, outcome)]
                differences += [f"{which}: {line}" for line in await one.differences()]
    trials = len(harms) + limits
    return Ledgers(
        trials=trials,
        rebuilt=outcome["rebuilt"],
        stopped=outcome["stopped"],
        unclear=tuple(unclear),
        differences=tuple(differences),
        doubled=tuple(ground.doubled()),
        seconds=round(time.monotonic() - began, 1),
    )


async def _resumed(one: Trial, outcome: dict[str, int]) -> list[str]:
    """Runs again; where the ledger is refused, once more without it."""
    ended = await one.run()
    if ended.exit_code == DAMAGED and "is damaged" in ended.error:
        outcome["stopped"] += 1
        deleted(one.work_dir)
        ended = await one.run()
    else:
        outcome["rebuilt"] += 1
    return [f"{ended.exit_code} {ended.error}"] if ended.exit_code else []
