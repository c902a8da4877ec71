"""Databases that do not tell upper from lower case: MySQL, MariaDB and SQL Server take ``Lr`` and ``lr`` for one key.

MLflow answers with whatever the database said, or retries in vain. Objects with such keys are rare; for them the
destination is asked, once, whether it tells names apart.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

import anyio
import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import NotFound, ObjectError

#: Experiments among which one is looked for whose name has letters.
LOOKED_AT = 20


class _Named(msgspec.Struct, frozen=True):
    name: str = ""


class _Page(msgspec.Struct, frozen=True):
    experiments: tuple[_Named, ...] = ()


class _One(msgspec.Struct, frozen=True):
    experiment: _Named


def alike(keys: Iterable[str]) -> tuple[str, str] | None:
    """Return two keys that such a database takes for one, if there are any."""
    seen: dict[str, str] = {}
    for key in keys:
        other = seen.setdefault(_folded(key), key)
        if other != key:
            return other, key
    return None


@dataclass(slots=True)
class Case:
    """Knows whether a destination tells upper from lower case; it asks once, and only when it matters."""

    destination: Server
    _lock: anyio.Lock = field(default_factory=anyio.Lock)
    _told: bool | None = None

    async def told_apart(self) -> bool:
        """Return whether names that differ in case are two names there."""
        async with self._lock:
            if self._told is None:
                self._told = await self._asked()
            return self._told

    async def check(self, what: str, keys: Iterable[str]) -> None:
        """Make sure that the destination tells the keys of one object apart. ``what`` they are stands in the sentence.

        :raises ObjectError: it does not
        """
        pair = alike(keys)
        if pair is not None and not await self.told_apart():
            raise ObjectError(
                "keys differ in case",
                f"The {what} {pair[0]!r} and {pair[1]!r} are one for the destination: its database does not tell "
                "upper from lower case.",
                "Rename one of them at the source, or choose a destination on PostgreSQL or SQLite.",
            )

    async def _asked(self) -> bool:
        body = {"max_results": LOOKED_AT, "view_type": "ALL"}
        page = await self.destination.post("experiments/search", body, _Page)
        for found in page.experiments:
            other = found.name.swapcase()
            if _folded(other) == _folded(found.name) and other != found.name:
                try:
                    reply = await self.destination.get("experiments/get-by-name", _One, {"experiment_name": other})
                except NotFound:
                    return True
                return reply.experiment.name == other
        return True


def _folded(key: str) -> str:
    """Return what is left of a key for a database that minds neither case nor accents nor blanks at the end."""
    if key.isascii():
        return key.lower().rstrip(" ")
    plain = "".join(one for one in unicodedata.normalize("NFKD", key) if not unicodedata.combining(one))
    return plain.casefold().rstrip(" ")
