"""Questions to the ledger; they see what is committed, also while another process writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import anyio
import msgspec
from anyio import to_thread

from bulkexim.errors import UsageError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.ledger.files import LEDGER_NAME, connect, trouble
from bulkexim.ledger.schema import CLEAR, COLUMNS, EARLIER_FILES, Row, State
from bulkexim.left_behind import Cause, LeftBehind

T = TypeVar("T")
#: SQLite takes 32,766 values in one statement; a page of objects stays far below.
_CHUNK = 5000


class Progress(NamedTuple):
    """How far a kind came in the last run: numbers of objects, and bytes of artifacts.

    ``total`` is how many there are, where that is known; ``begun`` are neither complete nor failed.
    """

    kind: str
    found: int
    total: int | None
    begun: int
    already: int
    moved: int
    failed: int
    skipped: int
    bytes: int


class Failure(NamedTuple):
    """An object that could not be moved."""

    kind: str
    src_id: SourceId
    name: str
    cause: str
    error: str


class Link(NamedTuple):
    """A metric point of a run that belongs to a logged model (source ids; NaN reads 0.0 here)."""

    run_id: SourceId
    key: str
    timestamp: int
    step: int
    model_id: SourceId
    value: float
    dataset_name: str
    dataset_digest: str


class UnmovedPoints(NamedTuple):
    """How many metric points of a logged model were measured in a run that did not bring them (source ids).

    ``dst_run`` is that run at the destination, where it is there and was not written since they came.
    """

    model_id: SourceId
    model_name: str
    run_id: SourceId
    points: int
    dst_run: DestinationId | None

    @property
    def detail(self) -> str:
        """What to say of them."""
        points = f"{self.points:,} metric point{'s' * (self.points != 1)}: their run {self.run_id}"
        if self.dst_run is None:
            return f"{points} was not moved"
        return f"{points} ({self.dst_run}) was not moved again, which would bring them: it is not selected"


class Complete(NamedTuple):
    """An object that is complete: its id at the source, and the digest of what was written."""

    src_id: SourceId
    digest: str


class CopiedFile(NamedTuple):
    """A file as it was written to the destination; size in bytes."""

    path: str
    size: int
    sha256: str


class Queries:
    """A read-only look at a ledger."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._reading = connection
        self._one_at_a_time = anyio.CapacityLimiter(1)

    def _ask(self, sql: str, values: Sequence[object] = ()) -> Iterator[Any]:
        """Yield the rows of one question.

        :raises FatalError: the ledger is damaged
        """
        try:
            for row in self._reading.execute(sql, values):  # noqa: UP028 - it would close the cursor, perhaps too late
                yield row
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error

    def setup(self) -> dict[str, str]:
        """Return the pair of ends that the ledger belongs to."""
        return dict(self._ask("select key, value from setup"))

    def clear(self) -> bool:
        """Return whether nothing can be left over: since the last look that found nothing, no create has left."""
        return CLEAR in self.setup()

    @property
    def begun(self) -> bool:
        """Whether any object may be at the destination."""
        return any(self._ask("select 1 from objects where dst_id is not null or state <> ? limit 1", (State.PLANNED,)))

    async def in_thread(self, question: Callable[..., T], *values: object) -> T:
        """Put a question that waits for the disk, a method of this object, without holding up the event loop."""
        return await to_thread.run_sync(question, *values, limiter=self._one_at_a_time)

    async def rows(self, kind: str, ids: Iterable[SourceId]) -> dict[SourceId, Row]:
        """Return what is known of the objects ``ids``; unknown ones are absent."""
        return await to_thread.run_sync(self._rows, kind, list(ids), limiter=self._one_at_a_time)

    def _rows(self, kind: str, ids: list[SourceId]) -> dict[SourceId, Row]:
        found = {}
        sql = f"select {', '.join(COLUMNS)} from objects where kind = ? and src_id in ({{}})"  # noqa: S608 - our names
        for values in self._of(sql, ids, kind):
            row = msgspec.convert(dict(zip(COLUMNS, values, strict=True)), Row)
            found[row.src_id] = row
        return found

    def _of(self, sql: str, ids: Sequence[str], *before: object) -> Iterator[Any]:
        """Yield the rows of a question about some ids, which take the place of ``{}``."""
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            yield from self._ask(sql.format(", ".join("?" * len(chunk))), (*before, *chunk))

    async def links(self, runs: Iterable[SourceId]) -> dict[SourceId, list[Link]]:
        """Return the metric points of ``runs`` that belong to logged models."""
        return await to_thread.run_sync(self._links, list(runs), limiter=self._one_at_a_time)

    def _links(self, runs: list[SourceId]) -> dict[SourceId, list[Link]]:
        found: dict[SourceId, list[Link]] = {}
        for values in self._of("select * from metric_links where run_id in ({})", runs):
            link = Link(*values)
            found.setdefault(link.run_id, []).append(link)
        return found

    async def unmoved_points(self, model_id: SourceId | None = None) -> list[UnmovedPoints]:
        """Return the metric points of logged models, or of one, whose run did not bring them."""
        sql = (
            "select model_id, models.name, run_id, count(*), runs.dst_id from metric_links"
            " join objects models on models.kind = 'logged_model' and models.src_id = model_id"
            " left join objects runs on runs.kind = 'run' and runs.src_id = run_id"
            " where models.state = 'sealed' and model_id = coalesce(?, model_id)"
            " and (runs.dst_id is null or runs.state = 'sealed' and runs.digest = '')"
            " group by model_id, models.name, run_id, runs.dst_id order by model_id, run_id"
        )

        def ask() -> list[UnmovedPoints]:
            return [UnmovedPoints(*values) for values in self._ask(sql, (model_id,))]

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    def known(self, kind: str) -> bool:
        """Return whether any object of ``kind`` is in the ledger."""
        return any(self._ask("select 1 from objects where kind = ? limit 1", (kind,)))

    async def placed(self, kind: str) -> list[DestinationId]:
        """Return the destination ids of every object of ``kind`` that exists there."""
        sql = "select dst_id from objects where kind = ? and dst_id is not null order by dst_id"

        def ask() -> list[DestinationId]:
            return [DestinationId(dst_id) for (dst_id,) in self._ask(sql, (kind,))]

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    async def sample(self, kind: str, number: int) -> list[tuple[SourceId, DestinationId]]:
        """Return source and destination ids of some complete objects of ``kind``."""
        sql = "select src_id, dst_id from objects where kind = ? and state = ? and dst_id is not null limit ?"

        def ask() -> list[tuple[SourceId, DestinationId]]:
            return [(SourceId(src_id), DestinationId(dst_id)) for src_id, dst_id in self._ask(sql, values)]

        values = (kind, State.SEALED, number)
        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    async def source_id(self, kind: str, dst_id: DestinationId) -> SourceId | None:
        """Return the id at the source of an object of the destination."""
        sql = "select src_id from objects where kind = ? and dst_id = ?"

        def ask() -> SourceId | None:
            return next((SourceId(src_id) for (src_id,) in self._ask(sql, (kind, dst_id))), None)

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    async def failed_for(self, kind: str, causes: Sequence[str]) -> list[SourceId]:
        """Return the objects of a kind that failed last time for one of these causes."""
        sql = "select src_id from objects where kind = ? and error <> '' and cause in ({})"

        def ask() -> list[SourceId]:
            return [SourceId(src_id) for (src_id,) in self._of(sql, causes, kind)]

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    async def complete(
        self, kind: str, dst_ids: Iterable[DestinationId] | None = None
    ) -> dict[DestinationId, Complete]:
        """Return what is complete of a kind, by its id at the destination: all of it, or of ``dst_ids``."""
        sql = "select dst_id, src_id, digest from objects where kind = ? and state = 'sealed'"
        ids = None if dst_ids is None else list(dst_ids)

        def ask() -> dict[DestinationId, Complete]:
            rows = self._ask(sql, (kind,)) if ids is None else self._of(f"{sql} and dst_id in ({{}})", ids, kind)
            return {DestinationId(dst_id): Complete(SourceId(src_id), digest) for dst_id, src_id, digest in rows}

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    async def count_complete(self, kind: str, *, but: str = "") -> int:
        """Return how many objects of a kind are complete, leaving out those whose digest ends in ``but``."""
        sql = "select count(*) from objects where kind = ? and state = 'sealed'"

        def ask() -> int:
            ending = (f"%{but}",) if but else ()
            [(objects,)] = self._ask(f"{sql} and digest not like ?" if but else sql, (kind, *ending))
            return int(objects)

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    def progress(self) -> list[Progress]:
        """Return how far each kind came in the last run, in the order in which they were begun."""
        # A ledger of an earlier bulkexim gets the tables when it is next written to.
        sql = f"select {', '.join(Progress._fields)} from progress order by rowid"  # noqa: S608 - names are ours
        return [Progress(*values) for values in self._ask(sql)] if self._has("progress") else []

    def changed_at(self) -> float | None:
        """Return when the progress of the last run changed last, in seconds since the epoch."""
        found = self._ask("select max(updated_at) from progress") if self._has("progress") else ()
        return next((at for (at,) in found), None)

    def report(self) -> str | None:
        """Return the report of the last run as JSON, if that run came to its end."""
        found = self._ask("select report from reports") if self._has("reports") else ()
        return next((report for (report,) in found), None)

    def complete_by_kind(self) -> dict[str, int]:
        """Return by kind how many objects are complete, whichever run brought them."""
        return dict(self._ask("select kind, count(*) from objects where state = ? group by kind", (State.SEALED,)))

    def causes(self) -> dict[str, int]:
        """Return by cause how many objects failed last time and are not sealed since, the most frequent first."""
        return dict(
            self._ask("select cause, count(*) from objects where error <> '' group by cause order by 2 desc, 1")
        )

    def _has(self, table: str) -> bool:
        return any(self._ask("select 1 from sqlite_master where type = 'table' and name = ?", (table,)))

    def phases(self) -> dict[str, tuple[int, int | None, float]]:
        """Return by phase: objects found, objects in all (where known), time of the last change (seconds)."""
        return {name: (found, total, at) for name, found, total, at in self._ask("select * from phases")}

    def failures(self) -> Iterator[Failure]:
        """Yield what failed last time and is not sealed since."""
        sql = "select kind, src_id, name, cause, error from objects where error <> '' order by kind, src_id"
        return (Failure(*values) for values in self._ask(sql))

    async def notes(self, kind: str, ids: Iterable[SourceId]) -> dict[SourceId, list[tuple[str, str]]]:
        """Return what of the objects ``ids`` could not be carried as it was, when they were last moved."""
        return await to_thread.run_sync(self._notes, kind, list(ids), limiter=self._one_at_a_time)

    def _notes(self, kind: str, ids: list[SourceId]) -> dict[SourceId, list[tuple[str, str]]]:
        found: dict[SourceId, list[tuple[str, str]]] = {}
        sql = "select src_id, what, detail from notes where kind = ? and src_id in ({})"
        for src_id, what, detail in self._of(sql, ids, kind):
            found.setdefault(src_id, []).append((what, detail))
        return found

    async def left_behind(self, kind: str, ids: Iterable[SourceId]) -> dict[SourceId, list[LeftBehind]]:
        """Return what stayed behind of the objects ``ids`` when they were last moved."""
        return await to_thread.run_sync(self._left_behind, kind, list(ids), limiter=self._one_at_a_time)

    def _left_behind(self, kind: str, ids: list[SourceId]) -> dict[SourceId, list[LeftBehind]]:
        found: dict[SourceId, list[LeftBehind]] = {}
        sql = "select src_id, cause, detail from left_behind where kind = ? and src_id in ({})"
        for src_id, cause, detail in self._of(sql, ids, kind):
            found.setdefault(src_id, []).append(LeftBehind(Cause(cause), detail))
        return {src_id: sorted(left) for src_id, left in found.items()}

    async def noted(self, kind: str, what: str) -> set[SourceId]:
        """Return the objects of ``kind`` with a note of that sort."""
        sql = "select src_id from notes where kind = ? and what = ?"

        def ask() -> set[SourceId]:
            return {SourceId(src_id) for (src_id,) in self._ask(sql, (kind, what))}

        return await to_thread.run_sync(ask, limiter=self._one_at_a_time)

    async def copied_files(self, kind: str, src_id: SourceId, dst_id: DestinationId) -> list[CopiedFile]:
        """Return the files that were last copied for an object, if it is still the same one at the destination."""
        return await to_thread.run_sync(self._copied_files, kind, src_id, dst_id, limiter=self._one_at_a_time)

    def _copied_files(self, kind: str, src_id: SourceId, dst_id: DestinationId) -> list[CopiedFile]:
        found = []
        for table, digest in (("copied_files", "lower(hex(sha256))"), (EARLIER_FILES, "sha256")):
            # A ledger that an earlier bulkexim wrote gets the table of today when it is next written to.
            if self._has(table):
                sql = (
                    f"select path, size, {digest} from {table} join objects using (kind, src_id)"  # noqa: S608 - ours
                    " where kind = ? and src_id = ? and dst_id = ?"
                )
                found += [CopiedFile(*values) for values in self._ask(sql, (kind, src_id, dst_id))]
        return found

    def id_map(self) -> Iterator[tuple[str, str, str]]:
        """Yield (source id, destination id, kind) of everything that exists at the destination."""
        sql = "select src_id, dst_id, kind from objects where dst_id is not null order by kind, src_id"
        return self._ask(sql)

    def close(self) -> None:
        """Close the connection."""
        self._reading.close()


def look(work_dir: Path) -> Queries:
    """Open the ledger of ``work_dir`` for reading.

    :raises UsageError: there is none
    """
    path = work_dir / LEDGER_NAME
    if not path.is_file():
        raise UsageError(f"There is no ledger in {work_dir}.", "Give the --work-dir of the migration.")
    return Queries(path, connect(path, read_only=True))
