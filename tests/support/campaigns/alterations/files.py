"""The files of runs and logged models, and the place where they are looked for."""

from functools import partial
from pathlib import Path
from random import Random
from sqlite3 import Connection

from tests.support.campaigns.alterations.base import Altered, Edit, Generator, Told, at, changed, differs, new_id
from tests.support.campaigns.alterations.store import MODEL, RUN, Store, Thing

#: Files that an object may have for all of them to be named.
FEW = 90
ML_MODEL = "MLmodel"


def _writing(path: Path, content: bytes | None) -> Edit:
    """Puts a content into a file, or takes the file away."""

    def edit(_: Connection, folder: Path) -> None:
        target = folder / path
        if content is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    return edit


def _holders(store: Store) -> list[Thing]:
    return [thing for kind in (RUN, MODEL) for thing in store.things(kind) if store.files(thing)]


def _picked(store: Store, chance: Random) -> tuple[Thing, str, bytes]:
    thing = chance.choice(_holders(store))
    path = chance.choice(store.files(thing))
    return thing, path, (store.folder / store.root(thing) / path).read_bytes()


def _told(thing: Thing, *paths: str) -> frozenset[Told]:
    return differs(thing, *(f"artifacts / {path}" for path in paths))


def _other_content(what: str, store: Store, chance: Random) -> Altered | None:
    thing, path, content = _picked(store, chance)
    place = chance.randrange(len(content)) if content else 0
    new = {
        "byte flipped": content[:place]
        + bytes(byte ^ (1 << chance.randrange(8)) for byte in content[place : place + 1])
        + content[place + 1 :],
        "cut": content[:place],
        "grown": content + chance.randbytes(chance.randint(1, 9)),
        "emptied": b"",
        "removed": None,
    }[what]
    return None if new == content else Altered(_told(thing, path), (_writing(store.root(thing) / path, new),))


def _added(store: Store, chance: Random) -> Altered:
    thing = chance.choice([*store.things(RUN), *store.things(MODEL)])
    path = f"{chance.choice(['', 'more/', 'a/b/c/'])}{new_id(chance)}.bin"
    content = chance.randbytes(chance.choice([0, 1, 5000]))
    return Altered(_told(thing, path), (_writing(store.root(thing) / path, content),))


def _renamed(store: Store, chance: Random) -> Altered:
    thing, path, content = _picked(store, chance)
    root, new = store.root(thing), f"{path}{chance.choice(['.x', '2'])}"
    return Altered(_told(thing, path, new), (_writing(root / path, None), _writing(root / new, content)))


def _swapped(store: Store, chance: Random) -> Altered | None:
    one, path, content = _picked(store, chance)
    other, other_path, other_content = _picked(store, chance)
    if content == other_content:
        return None
    edits = (
        _writing(store.root(one) / path, other_content),
        _writing(store.root(other) / other_path, content),
    )
    return Altered(_told(one, path) | _told(other, other_path), edits)


def _other_model_text(store: Store, chance: Random) -> Altered | None:
    """Alters a line of an ``MLmodel`` file: one that the move has rewritten, or any other."""
    thing = chance.choice(_holders(store))
    paths = [path for path in store.files(thing) if path.rpartition("/")[2] == ML_MODEL]
    if not paths:
        return None
    path = chance.choice(paths)
    lines = (store.folder / store.root(thing) / path).read_bytes().splitlines(keepends=True)
    at_line = chance.randrange(len(lines))
    lines[at_line] = lines[at_line].rstrip(b"\r\n") + b"0" + lines[at_line][len(lines[at_line].rstrip(b"\r\n")) :]
    return Altered(_told(thing, path), (_writing(store.root(thing) / path, b"".join(lines)),))


def _elsewhere(kind: str, store: Store, chance: Random) -> Altered | None:
    """Says that the files of an object are where there are none."""
    holders = [thing for thing in _holders(store) if thing.kind == kind and len(store.files(thing)) < FEW]
    if not holders:
        return None
    thing = chance.choice(holders)
    row, column = store.row(thing), _root_column(kind)
    return Altered(_told(thing, *store.files(thing)), (changed(row, **{column: f"{row[column]}x"}),))


def _root_column(kind: str) -> str:
    return "artifact_uri" if kind == RUN else "artifact_location"


GENERATORS: tuple[Generator, ...] = (
    *(
        Generator(f"file {what}", partial(_other_content, what))
        for what in ("byte flipped", "cut", "grown", "emptied", "removed")
    ),
    Generator("file added", _added),
    Generator("file renamed", _renamed),
    Generator("files swapped", _swapped),
    Generator("MLmodel altered", _other_model_text),
    *(
        Generator(f"root of a {kind} changed", partial(_elsewhere, kind), at(table, _root_column(kind)))
        for kind, table in ((RUN, "runs"), (MODEL, "logged_models"))
    ),
)
