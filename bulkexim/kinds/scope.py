"""Which objects were selected, and what holds for a whole migration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from bulkexim.config import Settings
from bulkexim.ends.server import Server
from bulkexim.errors import UsageError
from bulkexim.ledger.journal import Journal

#: Characters of a name that a sentence repeats.
SHOWN = 200
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Pair:
    """The two ends of a migration, its memory and its settings: what every kind works with."""

    source: Server
    destination: Server
    ledger: Journal
    settings: Settings

    @property
    def servers(self) -> tuple[Server, Server]:
        """Both ends."""
        return self.source, self.destination


def chosen(patterns: Iterable[str] | None, *names: str) -> bool:
    """Return whether one of an object's names or ids fits a pattern; without patterns everything does."""
    if patterns is None:
        return True
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in names)


def renamed(renames: Mapping[str, str], name: str) -> str:
    """Return the name that an object gets at the destination (see `bulkexim.config`)."""
    if name in renames:
        return renames[name]
    for old, new in renames.items():
        if old.endswith("*") and name.startswith(old[:-1]):
            return new.removesuffix("*") + name[len(old) - 1 :]
    return name


def check_names(flag: str, renames: Mapping[str, str], names: Iterable[str]) -> None:
    """Complain when two of the objects ``names`` would get one name: they would become one without a word.

    :raises UsageError: two do; ``flag`` says where the new names come from
    """
    owners: dict[str, str] = {}
    for name in names:
        new = renamed(renames, name)
        other = owners.setdefault(new, name)
        if other != name:
            raise UsageError(
                f"{flag}: {other!r} and {name!r} would both be {new!r} at the destination, and become one.",
                "Give each a name of its own.",
            )


@dataclass(slots=True)
class Unmatched:
    """Patterns that have fitted nothing so far, so that a misspelt name does not pass in silence."""

    flag: str
    patterns: set[str] = field(default_factory=set)

    def seen(self, *names: str) -> None:
        """Note the names of an object that exists."""
        self.patterns -= {pattern for pattern in self.patterns if chosen([pattern], *names)}

    def check(self) -> None:
        """Complain about names that do not exist; a glob may well fit nothing.

        :raises UsageError: a name or id fitted nothing
        """
        missing = sorted(pattern for pattern in self.patterns if not _GLOB.search(pattern))
        if missing:
            first = missing[0][:SHOWN]
            raise UsageError(f"{self.flag}: the source has no {first!r}.", "Check the name, or use a glob.")
