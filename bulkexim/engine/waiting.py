"""Objects that wait for others of their kind: nothing but ids is kept of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bulkexim.ids import SourceId
from bulkexim.ledger.queries import Queries


@dataclass(slots=True)
class Waiting:
    """What each object waits for.

    ``settled`` are those that stand at the destination already as they will be if what they wait for never comes.
    """

    wanted: dict[SourceId, SourceId] = field(default_factory=dict)
    settled: set[SourceId] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.wanted)

    def add(self, src_id: SourceId, wanted: SourceId, *, settled: bool = False) -> None:
        """Note that an object waits for ``wanted``."""
        self.wanted[src_id] = wanted
        if settled:
            self.settled.add(src_id)

    def take(self, ids: Iterable[SourceId]) -> Waiting:
        """Remove objects, and return them as they waited."""
        taken = Waiting()
        for src_id in ids:
            taken.add(src_id, self.wanted.pop(src_id), settled=src_id in self.settled)
        self.settled -= taken.settled
        return taken

    def put(self, others: Waiting) -> None:
        """Add objects that wait."""
        self.wanted |= others.wanted
        self.settled |= others.settled

    async def come(self, kind: str, ledger: Queries) -> list[SourceId]:
        """Return the objects for which that has come what they wait for."""
        rows = await ledger.rows(kind, set(self.wanted.values()))
        return [src_id for src_id, wanted in self.wanted.items() if wanted in rows and rows[wanted].dst_id is not None]

    def hopeless(self) -> list[SourceId]:
        """Return those that wait for nothing which waits itself, and so will never come; of a circle, all."""
        return [src_id for src_id, wanted in self.wanted.items() if wanted not in self.wanted] or list(self.wanted)
