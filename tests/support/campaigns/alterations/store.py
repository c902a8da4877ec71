"""What stands in a migrated destination: every row of its database, whose it is, and who refers to whom."""

import contextlib
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from bulkexim.ids import MARKER_TAG, PREFIX
from bulkexim.kinds.experiment import CREATED_TAG
from tests.support.servers import MlflowServer

RUN, MODEL, EXPERIMENT = "run", "logged_model", "experiment"
REGISTERED, VERSION = "registered_model", "model_version"
#: The stage of the row that MLflow keeps of a version that was deleted.
NO_VERSION = "Deleted_Internal"


class Thing(NamedTuple):
    """An object of the destination, by its id there."""

    kind: str
    id: str


@dataclass(frozen=True)
class Row:
    """A row of the database; ``number`` is the one that SQLite gives it."""

    table: str
    number: int
    values: Mapping[str, Any] = field(compare=False)

    def __getitem__(self, column: str) -> Any:
        return self.values[column]


class Home(NamedTuple):
    """Where a kind has its tags, and where a tag keeps the id of the source."""

    table: str
    key: str
    value: str
    source: str


TAGS = {
    RUN: Home("tags", "key", "value", "run_id"),
    MODEL: Home("logged_model_tags", "tag_key", "tag_value", "model_id"),
    EXPERIMENT: Home("experiment_tags", "key", "value", "experiment_id"),
    REGISTERED: Home("registered_model_tags", "key", "value", "name"),
    VERSION: Home("model_version_tags", "key", "value", "version"),
}
#: The table with one row for each object.
TABLES = {
    RUN: "runs",
    MODEL: "logged_models",
    EXPERIMENT: "experiments",
    REGISTERED: "registered_models",
    VERSION: "model_versions",
}
_OF_RUN = frozenset({"runs", "params", "tags", "metrics", "latest_metrics"})
_ID = re.compile(r"(?:m-)?[0-9a-f]{32}|(?<=^models:/)[^/]+/\d+")


class Store:
    """A destination as it was before anything was altered."""

    def __init__(self, server: MlflowServer) -> None:
        self.folder = server.artifacts
        with contextlib.closing(sqlite3.connect(f"{server.database.as_uri()}?mode=ro", uri=True)) as database:
            names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            self.tables = {name: _rows(database, name) for name in sorted(names)}

    def things(self, kind: str) -> list[Thing]:
        """Every object of a kind that came from the source."""
        return self.in_order(thing for thing in self._sources if thing.kind == kind)

    def in_order(self, things: Iterable[Thing]) -> list[Thing]:
        """Sort by what objects look like: their ids are others in every migration, and a seed should mean the same."""
        return sorted(things, key=lambda thing: (thing.kind, _face(self.row(thing))))

    def row(self, thing: Thing) -> Row:
        """The row that stands for an object."""
        return next(row for row in self.rows(thing) if row.table == TABLES[thing.kind])

    def rows(self, thing: Thing) -> list[Row]:
        """Every row that is an object's own."""
        return self._owned.get(thing, [])

    def owner(self, row: Row) -> Thing | None:
        """Whose a row is; nothing where that did not come from the source."""
        thing = self._owner(row)
        return thing if thing in self._sources else None

    def tags(self, thing: Thing) -> dict[str, str]:
        return {key: row[TAGS[thing.kind].value] for key, row in self.tag_rows(thing).items()}

    def tag_rows(self, thing: Thing) -> dict[str, Row]:
        home = TAGS[thing.kind]
        return {row[home.key]: row for row in self.rows(thing) if row.table == home.table}

    def named(self, kind: str, source_id: str) -> Thing:
        """The object that came from one of the source."""
        return next(thing for thing, source in self._sources.items() if (thing.kind, source) == (kind, source_id))

    def home(self, thing: Thing) -> Thing | None:
        """What holds an object."""
        if thing.kind in {RUN, MODEL}:
            return Thing(EXPERIMENT, str(self.row(thing)["experiment_id"]))
        return Thing(REGISTERED, self.row(thing)["name"]) if thing.kind == VERSION else None

    def own(self, home: Thing) -> bool:
        """Whether a migration created it, so that nothing else belongs into it."""
        return home.kind == REGISTERED or CREATED_TAG in self.tags(home)

    def content(self, home: Thing) -> list[Thing]:
        """What is held by an experiment or a registered model."""
        return self.in_order(thing for thing in self._sources if self.home(thing) == home)

    def alone(self, things: Collection[Thing]) -> bool:
        """Whether nothing outside refers to one of these."""
        return all(self._referring.get(thing.id, set()) <= set(things) for thing in things)

    def links(self, thing: Thing, kind: str) -> list[Row]:
        """The links of a run, by the type of what is linked."""
        return [row for row in self.rows(thing) if row.table == "inputs" and kind in _types(row)]

    @cached_property
    def _sources(self) -> dict[Thing, str]:
        found: dict[Thing, str] = {}
        for kind, home in TAGS.items():
            tags: dict[Thing, dict[str, str]] = {}
            for row in self.tables[home.table]:
                owner = self._owner(row)
                if owner is not None:
                    tags.setdefault(owner, {})[row[home.key]] = row[home.value]
            for thing, held in tags.items():
                if MARKER_TAG in held:
                    source = held[f"{PREFIX}source.{home.source}"]
                    found[thing] = f"{held[PREFIX + 'source.name']}/{source}" if kind == VERSION else source
        return found

    @cached_property
    def _owned(self) -> dict[Thing, list[Row]]:
        owned: dict[Thing, list[Row]] = {}
        for rows in self.tables.values():
            for row in rows:
                thing = self._owner(row)
                if thing is not None:
                    owned.setdefault(thing, []).append(row)
        return owned

    @cached_property
    def _referring(self) -> dict[str, set[Thing]]:
        """The objects whose rows name an id, by that id."""
        found: dict[str, set[Thing]] = {}
        for thing, rows in self._owned.items():
            texts = (value for row in rows for value in row.values.values() if isinstance(value, str))
            for name in (name for text in texts for name in _ID.findall(text)):
                found.setdefault(name, set()).add(thing)
        return {name: {thing for thing in things if thing.id != name} for name, things in found.items()}

    @cached_property
    def _linked(self) -> dict[str, Thing]:
        """The run of each link."""
        return {row["input_uuid"]: Thing(RUN, _run(row)) for row in self.tables["inputs"]}

    def _owner(self, row: Row) -> Thing | None:
        table = row.table
        if table in _OF_RUN:
            return Thing(RUN, row["run_uuid"])
        if table in {"inputs", "input_tags"}:
            return self._linked[row["input_uuid"]]
        if table.startswith("logged_model"):
            return Thing(MODEL, row["model_id"])
        if table.startswith("experiment"):
            return Thing(EXPERIMENT, str(row["experiment_id"]))
        if table.startswith("registered_model"):
            return Thing(REGISTERED, row["name"])
        if table.startswith("model_version"):
            return Thing(VERSION, f"{row['name']}/{row['version']}")
        return None

    def root(self, thing: Thing) -> Path:
        """The folder of the artifacts of a run or logged model, below that of the server."""
        column = "artifact_uri" if thing.kind == RUN else "artifact_location"
        return Path(str(self.row(thing)[column]).removeprefix("mlflow-artifacts:/"))

    def files(self, thing: Thing) -> list[str]:
        """The files of a run or logged model, by their paths below its root."""
        root = self.folder / self.root(thing)
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def _rows(database: sqlite3.Connection, table: str) -> list[Row]:
    found = database.execute(f"select rowid, * from {table}")
    columns = [column for column, *_ in found.description]
    rows = [Row(table, values[0], dict(zip(columns[1:], values[1:], strict=True))) for values in found]
    return sorted(rows, key=_face)


def _face(row: Row) -> str:
    """A row without ids and times of its making."""
    lasting = [value for column, value in row.values.items() if column != "experiment_id" and "time" not in column]
    return _ID.sub("", repr([*lasting, row.values.get("timestamp")]))


def _types(row: Row) -> tuple[str, str]:
    return row["source_type"], row["destination_type"]


def _run(row: Row) -> str:
    return str(row["destination_id"] if row["destination_type"] == "RUN" else row["source_id"])
