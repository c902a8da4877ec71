"""Copies files between two places as they are, and keeps what the copier says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bulkexim.artifacts.copier import Copied, CopiedFile, Copier
from bulkexim.artifacts.copying import Rewrite
from bulkexim.artifacts.place import Place
from bulkexim.artifacts.stored import Stored
from bulkexim.left_behind import LeftBehind


def as_it_is(path: str) -> Rewrite | None:
    """Rewrites no file."""
    return None


@dataclass(frozen=True)
class Brought:
    """What a copy brought: its own count, and the files of which it told that they arrived."""

    copied: Copied
    written: dict[str, Stored] = field(default_factory=dict)
    #: Numbers of files and bytes, as they were told on the way.
    told: list[tuple[int, int]] = field(default_factory=list, compare=False)

    @property
    def left(self) -> list[LeftBehind]:
        """What stayed behind, in order."""
        return sorted(self.copied.left)

    @property
    def paths_left(self) -> dict[str, str]:
        """The paths that stayed behind, with the cause of each."""
        return {left.detail.partition(": ")[0]: str(left.cause) for left in self.copied.left}


async def copied(
    copier: Copier, source: Place, destination: Place, rewrite: Callable[[str], Rewrite | None] = as_it_is
) -> Brought:
    """Copies everything below a root; what is told on the way has to add up."""
    written: dict[str, Stored] = {}
    told: list[tuple[int, int]] = []

    async def keep(files: Sequence[CopiedFile]) -> None:
        written.update(dict(files))

    def tell(files: int, size: int) -> None:
        told.append((files, size))

    brought = Brought(await copier.copy(source, destination, rewrite, keep, tell), written, told)
    assert brought.copied.files == len(written)
    assert brought.copied.bytes == sum(stored.size for stored in written.values())
    assert brought.copied.files == sum(files for files, _ in told)
    assert brought.copied.bytes == sum(size for _, size in told)
    return brought
