"""What an alteration is: edits of a database and a folder, and what a comparison must find afterwards."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from sqlite3 import Connection
from typing import Any, NamedTuple

from bulkexim.engine.verification import Verdict
from tests.support.campaigns.alterations.store import Row, Store, Thing


class Told(NamedTuple):
    """One line of a comparison: the object as it is called at the destination, the verdict, the field that differs."""

    thing: Thing
    verdict: Verdict
    field: str = ""

    def __str__(self) -> str:
        return f"{self.thing.kind} {self.thing.id} {self.verdict} {self.field}".rstrip()


Edit = Callable[[Connection, Path], None]


class Altered(NamedTuple):
    """What is done, what must be told of it, and which objects it rests on beside those."""

    told: frozenset[Told]
    edits: tuple[Edit, ...]
    beside: frozenset[Thing] = frozenset()


@dataclass(frozen=True)
class Alteration:
    """One alteration of a kind; two that share a thing cannot be told apart if they are made together."""

    what: str
    told: frozenset[Told]
    edits: tuple[Edit, ...]
    things: frozenset[Thing]

    def __str__(self) -> str:
        return f"{self.what}: {', '.join(sorted(map(str, self.told)))}"


@dataclass(frozen=True)
class Generator:
    """Makes alterations of one kind from what really stands in a store; ``columns`` says where it reaches."""

    what: str
    make: Callable[[Store, Random], Altered | None]
    columns: frozenset[tuple[str, str]] = frozenset()

    def __call__(self, store: Store, chance: Random) -> Alteration | None:
        made = self.make(store, chance)
        if made is None:
            return None
        return Alteration(self.what, made.told, made.edits, made.beside | {told.thing for told in made.told})


def at(table: str, *columns: str) -> frozenset[tuple[str, str]]:
    return frozenset((table, column) for column in columns)


def differs(thing: Thing, *fields: str) -> frozenset[Told]:
    return frozenset(Told(thing, Verdict.DIFFERS, field) for field in fields)


def missing(*things: Thing) -> frozenset[Told]:
    return frozenset(Told(thing, Verdict.MISSING) for thing in things)


def extra(*things: Thing) -> frozenset[Told]:
    return frozenset(Told(thing, Verdict.EXTRA) for thing in things)


def changed(row: Row, **values: Any) -> Edit:
    names = ", ".join(f"{name} = ?" for name in values)
    return _statement(f"UPDATE {row.table} SET {names} WHERE rowid = ?", [*values.values(), row.number])


def removed(row: Row) -> Edit:
    return _statement(f"DELETE FROM {row.table} WHERE rowid = ?", [row.number])


def added(row: Row, **values: Any) -> Edit:
    """Adds a row like another one, with some other values."""
    new = {**row.values, **values}
    places = ", ".join("?" * len(new))
    return _statement(f"INSERT INTO {row.table} ({', '.join(new)}) VALUES ({places})", list(new.values()))


def _statement(text: str, values: list[Any]) -> Edit:
    def edit(database: Connection, _: Path) -> None:
        done = database.execute(text, values)
        assert done.rowcount == 1, f"{text} {values}: {done.rowcount} rows"

    return edit


def removal(rows: Iterable[Row]) -> tuple[Edit, ...]:
    return tuple(removed(row) for row in rows)


def other_text(text: str | None, chance: Random) -> str:
    """A text that is not the same, though it may look like it."""
    text = text or ""
    cases = [text + "x", text + " ", " " + text, text[:-1], text.swapcase(), text.replace("1", "2")]
    return chance.choice([case for case in cases if case and case != text])


def new_id(chance: Random, prefix: str = "") -> str:
    return f"{prefix}{chance.getrandbits(128):032x}"


def of_wide_choice(rows: Iterable[Row], store: Store, chance: Random) -> Row | None:
    """One row, chosen so that an object of few rows is as likely as one of many; rows of nothing moved are left out."""
    by_thing: dict[Thing, list[Row]] = {}
    for row in rows:
        thing = store.owner(row)
        if thing is not None:
            by_thing.setdefault(thing, []).append(row)
    return chance.choice(by_thing[chance.choice(store.in_order(by_thing))]) if by_thing else None
