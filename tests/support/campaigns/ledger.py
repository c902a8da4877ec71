"""K3: the ledger is lost, cut, or cannot be written; what it says is rebuilt, or the run stops clearly."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.support.campaigns.children import child
from tests.support.campaigns.disks import disk
from tests.support.campaigns.ground import Ground, Trial, trial
from tests.support.campaigns.kill import undisturbed
from tests.support.faults import Fault, KillAt

#: The exit codes for a ledger that is damaged, for a disk that is full, and for one that cannot be written at all.
DAMAGED, NO_SPACE, READ_ONLY = 7, 5, 2

Harm = Callable[[Path], str]


@dataclass(frozen=True)
class Ledgers:
    """What became of the trials; whatever is listed is a fault of the migrator."""

    trials: int
    rebuilt: int
    """Runs that found a harmed ledger and ended with 0."""
    stopped: int
    """Runs that refused a harmed ledger in a sentence; the next one, as it said, ended with 0."""
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


async def harm_ledgers(ground: Ground, *, cuts: int, limits: int, disks: int = 0, seed: int = 1) -> Ledgers:
    """K3: delete the ledger at half-time, cut it at random offsets, let files not grow, and disks be full or read-only.

    :raises NotAllowed: ``disks`` are asked for, and cannot be mounted here
    """
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
        for _ in range(disks):
            async with trial(ground, at, "disk") as one:
                kilobytes = chance.randint(64, 400)
                when = chance.randint(needed // 4, 3 * needed // 4)
                with disk(one.work_dir, f"size={kilobytes}k") as small:
                    which = f"disk of {kilobytes} kB"
                    unclear += [f"{which}: {line}" for line in await _stopped(one, NO_SPACE)]
                    small.options("size=64m")
                    await one.run(KillAt(when, Fault.KILL_AFTER))
                    small.options("ro")
                    unclear += [f"{which}, read-only: {line}" for line in await _stopped(one, READ_ONLY)]
                    small.options("rw")
                    unclear += [f"{which}, then room: {line}" for line in await _resumed(one, outcome)]
                differences += [f"{which}: {line}" for line in await one.differences()]
    trials = len(harms) + limits + disks
    return Ledgers(
        trials=trials,
        rebuilt=outcome["rebuilt"],
        stopped=outcome["stopped"],
        unclear=tuple(unclear),
        differences=tuple(differences),
        doubled=tuple(ground.doubled()),
        seconds=round(time.monotonic() - began, 1),
    )


async def _stopped(one: Trial, code: int) -> list[str]:
    """Runs on a disk that may be too small for it."""
    ended = await one.run()
    return [] if ended.exit_code in (0, code) else [f"{ended.exit_code} {ended.error}"]


async def _resumed(one: Trial, outcome: dict[str, int]) -> list[str]:
    """Runs again; where the ledger is refused, once more as the sentence says."""
    ended = await one.run()
    if ended.exit_code == DAMAGED and "--rebuild-ledger" in ended.error:
        outcome["stopped"] += 1
        one.settings["rebuild_ledger"] = True
        ended = await one.run()
    else:
        outcome["rebuilt"] += 1
    return [f"{ended.exit_code} {ended.error}"] if ended.exit_code else []
