"""V1: whatever is altered at the destination is found and named, and nothing else is."""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from bulkexim.config import Level
from bulkexim.engine.verification import Finding, Verdict, Verification
from tests.support.campaigns.alterations import GENERATORS, Alteration, Store, Thing, Told
from tests.support.servers import MlflowServer, Servers
from tests.support.verifying import told, verified

#: Rounds through all generators after which there is nothing new to alter.
ROUNDS = 100


@dataclass(frozen=True)
class Compared:
    """What a comparison told of alterations, and of pairs that nobody altered."""

    alterations: int
    batches: int
    found: int
    clean_pairs: int
    missed: tuple[str, ...]
    """Alterations that were not told, or not by their field."""
    false_alarms: tuple[str, ...]
    """What was told and not altered."""
    by_kind: Mapping[str, int]
    seconds: float


def alter(
    servers: Servers, source: MlflowServer | str, destination: MlflowServer, *, count: int, seed: int, **settings: Any
) -> Compared:
    """Alters copies of a destination, a batch of alterations that do not touch each other in each, and compares."""
    began = time.monotonic()
    store = Store(destination)
    pairs, false_alarms = clean_pairs(source, destination, **settings)
    missed: list[str] = []
    batches = batched(chosen(store, count, seed))
    for number, batch in enumerate(batches, 1):
        lines = _compared(servers, source, destination, store, batch, settings)
        unseen, beside = judged(batch, lines)
        missed += [f"batch {number}: {alteration}" for alteration in unseen]
        false_alarms += [f"batch {number}: {line}" for line in beside]
    return Compared(
        alterations=sum(map(len, batches)),
        batches=len(batches),
        found=sum(map(len, batches)) - len(missed),
        clean_pairs=pairs,
        missed=tuple(missed),
        false_alarms=tuple(false_alarms),
        by_kind=dict(sorted(Counter(one.what for batch in batches for one in batch).items())),
        seconds=round(time.monotonic() - began, 1),
    )


def clean_pairs(source: MlflowServer | str, destination: MlflowServer, **settings: Any) -> tuple[int, list[str]]:
    """Compare without any alteration, at each level, with and without what is deleted."""
    ways = [(level, deleted) for level in Level for deleted in (True, False)]
    false_alarms = [
        f"clean pair, {level}, include_deleted={deleted}: {line}"
        for level, deleted in ways
        for line in told(verified(source, destination, level, include_deleted=deleted, **settings))
    ]
    return len(ways), false_alarms


def chosen(store: Store, count: int, seed: int) -> list[Alteration]:
    """Choose alterations, each kind as often as any other, none twice."""
    chance = Random(seed)
    found: dict[frozenset[Told], Alteration] = {}
    for _ in range(ROUNDS):
        for generator in chance.sample(GENERATORS, len(GENERATORS)):
            made = generator(store, chance)
            if made is not None:
                found.setdefault(made.told, made)
            if len(found) == count:
                return list(found.values())
    return list(found.values())


def batched(alterations: Iterable[Alteration]) -> list[list[Alteration]]:
    """Put each into the first batch that has nothing in common with it."""
    batches: list[tuple[list[Alteration], set[Thing]]] = []
    for one in alterations:
        batch, things = next((batch for batch in batches if not batch[1] & one.things), ([], set()))
        if not batch:
            batches.append((batch, things))
        batch.append(one)
        things |= one.things
    return [batch for batch, _ in batches]


def _compared(
    servers: Servers,
    source: MlflowServer | str,
    destination: MlflowServer,
    store: Store,
    batch: Sequence[Alteration],
    settings: Mapping[str, Any],
) -> list[Told]:
    with servers.copy(destination) as copy:
        with contextlib.closing(sqlite3.connect(copy.database)) as database:
            for alteration in batch:
                for edit in alteration.edits:
                    edit(database, copy.artifacts)
            database.commit()
        return lines_of(verified(source, copy, Level.FULL, include_deleted=True, **settings), store)


def lines_of(verification: Verification, store: Store) -> list[Told]:
    """Every finding, and every field of it, in the ids of the destination as it was."""
    assert verification.unheld == 0
    return [line for finding in verification.findings for line in _lines(finding, store)]


def _lines(finding: Finding, store: Store) -> list[Told]:
    thing = Thing(finding.kind, str(finding.dst_id))
    if finding.id is not None:
        thing = store.named(finding.kind, finding.id)
    if finding.verdict is not Verdict.DIFFERS:
        return [Told(thing, finding.verdict)]
    return [Told(thing, finding.verdict, difference.field) for difference in finding.differences]


def judged(batch: Iterable[Alteration], lines: Collection[Told]) -> tuple[list[Alteration], list[Told]]:
    """Return the alterations that were not told in full, and what was told beside all of them."""
    left = Counter(lines)
    unseen = []
    for alteration in batch:
        if any(not left[line] for line in alteration.told):
            unseen.append(alteration)
        left -= Counter(alteration.told)
    return unseen, sorted(left.elements())
