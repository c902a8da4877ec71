"""Which objects were selected, and what holds for a whole migration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from bulkexim.config import ALL, Selection, Settings
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


def chosen(selection: Selection, *names: str) -> bool:
    """Return whether one of an object's names or ids is selected, or fits a glob; without a selection everything is."""
    if selection is None or selection == ALL:
        return True
    exact, globs = _patterns(selection)
    return any(name in exact or globs.match(name) for name in names)


@lru_cache(maxsize=64)
def _patterns(selection: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str]]:
    """Return names, and what fits one of the globs."""
    globs = [translate(name) for name in selection if _GLOB.search(name)]
    return frozenset(selection), re.compile("|".join(globs) or "(?!)")


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


def unused(flag: str, renames: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return a sentence for each old name that none of the objects ``names`` has."""
    pending = dict.fromkeys(renames)
    for name in names:
        pending.pop(name, None)
        for old in [old for old in pending if old.endswith("*") and name.startswith(old[:-1])]:
            del pending[old]
    return [f"{flag}: nothing that is moved is called {old[:SHOWN]!r}, so no name is changed there." for old in pending]


class Unmatched:
    """Patterns that have fitted nothing so far, so that a misspelt name does not pass in silence."""

    def __init__(self, flag: str, selection: Selection) -> None:
        given = () if selection is None or selection == ALL else selection
        self._flag = flag
        self._fitted_nothing, self._moves_nothing = _Open(given), _Open(given)

    def seen(self, *names: str, moved: bool = True) -> None:
        """Note the names of an object that exists; ``moved`` says that it would be moved if a pattern fits it."""
        self._fitted_nothing.close(names)
        if moved:
            self._moves_nothing.close(names)

    def check(self, why: str = "") -> list[str]:
        """Return a sentence for each glob that fitted nothing, and for each pattern that fitted only what stays behind.

        ``why`` says what makes such an object stay behind.

        :raises UsageError: a name or id fitted nothing
        """
        nothing = self._fitted_nothing.patterns
        missing = sorted(pattern for pattern in nothing if not _GLOB.search(pattern))
        if missing:
            first = missing[0][:SHOWN]
            raise UsageError(f"{self._flag}: the source has no {first!r}.", "Check the name, or use a glob.")
        behind = [pattern for pattern in self._moves_nothing.patterns if pattern not in nothing]
        return [
            *(f"{self._flag}: nothing at the source fits {pattern[:SHOWN]!r}." for pattern in nothing),
            *(f"{self._flag}: what fits {pattern[:SHOWN]!r} {why}" for pattern in behind),
        ]


class _Open:
    """Patterns without an object so far."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = dict.fromkeys(patterns)
        self._globs = {pattern: re.compile(translate(pattern)) for pattern in patterns if _GLOB.search(pattern)}

    def close(self, names: Sequence[str]) -> None:
        """Drop the patterns that one of an object's names fits."""
        fitting = [pattern for pattern, glob in self._globs.items() if any(map(glob.match, names))]
        for pattern in (*names, *fitting):
            self.patterns.pop(pattern, None)
            self._globs.pop(pattern, None)
