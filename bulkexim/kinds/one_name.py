"""Experiments of one source that would get one name at the destination: one of them has it, the others are refused.

A file store may hold two of one name, where somebody copied a folder or wrote a ``meta.yaml``. A database may give a
name anew, after the experiment that had it was renamed or removed for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bulkexim.errors import ObjectError
from bulkexim.ids import MadeFrom, SourceId

_FLAG = "--experiment-rename-file"


class NameTakenError(ObjectError):
    """Another experiment of the same source has the name; ``temporary`` says that it is about to lose it."""

    def __init__(self, problem: str, remedy: str, *, temporary: bool = False) -> None:
        super().__init__("name taken", problem, remedy)
        self.temporary = temporary


class Names:
    """The names that the selected experiments get, by their ids, in the order in which the source lists them."""

    def __init__(self, names: Mapping[SourceId, str]) -> None:
        self.names = names
        self._first: dict[str, SourceId] = {}
        for src_id, name in names.items():
            self._first.setdefault(name, src_id)

    def check(self, src_id: SourceId) -> None:
        """Make sure that an experiment is the first of its name.

        :raises NameTakenError: it is not
        """
        first = self._first[self.names[src_id]]
        if first != src_id:
            raise _taken(self.names[src_id], src_id, f"Experiment {first} of the source has it too")

    def check_joined(self, src_id: SourceId, there: MadeFrom) -> None:
        """Make sure that the experiment ``there`` did not come from another one that the source still has.

        :raises NameTakenError: it did
        """
        name, other = self.names[src_id], there.src_id
        if other == src_id:
            return
        if self.names.get(other, name) != name:
            # It was renamed at the source, and will be at the destination when its turn has come.
            raise NameTakenError(
                f"The destination still has experiment {other} of the source under the name {name!r}.",
                "Run the same command again.",
                temporary=True,
            )
        raise _taken(name, src_id, f"Experiment {other} of the source is at the destination under it")

    def doubles(self) -> Iterable[str]:
        """Yield a sentence for each experiment that is not the first of its name."""
        for src_id, name in self.names.items():
            if (first := self._first[name]) != src_id:
                yield (
                    f"Experiments {first} and {src_id} of the source are both called {name!r}: {src_id} is not moved, "
                    "nor is what it holds."
                )


def _taken(name: str, src_id: SourceId, why: str) -> NameTakenError:
    remedy = f"Rename one of them, or move this one alone under another name (--experiments {src_id} with {_FLAG})."
    return NameTakenError(f"The name {name!r} is taken. {why}, and two would become one.", remedy)
