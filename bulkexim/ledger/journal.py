"""The single writer of the ledger: every change is durable when its call returns.

Changes that arrive while a commit is under way share the next one.
"""

from __future__ import annotations

import shlex
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio import to_thread

from bulkexim.errors import FatalError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.ledger.files import trouble
from bulkexim.ledger.queries import Progress, Queries
from bulkexim.ledger.schema import CLEAR, State
from bulkexim.left_behind import LeftBehind
from bulkexim.masking import shaped

#: The kind whose metric points the ledger keeps.
LOGGED_MODEL = "logged_model"
Statement = tuple[str, Sequence[object]]
#: Seconds after which progress is written by itself; it matters to who looks at the ledger meanwhile.
PROGRESS_EVERY = 0.5


@dataclass(eq=False, slots=True)
class _Change:
    statements: Sequence[Statement]
    done: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None


class Journal(Queries):
    """The ledger of one migration, open for writing; opened by `ledger.opening`."""

    def __init__(self, path: Path, writing: sqlite3.Connection, reading: sqlite3.Connection) -> None:
        self._writing = writing
        self._pending: list[_Change] = []
        #: How far kinds have come, where that is not written yet, and when it was last written.
        self._progress: dict[str, Progress] = {}
        self._progress_at = 0.0
        self._wake = anyio.Event()
        self._closing = False
        super().__init__(path, reading)

    def bind(self, source: str, destination: str) -> None:
        """Tie the ledger to a pair of ends; one with which nothing was begun is tied anew.

        :raises FatalError: it belongs to another pair
        """
        held = self.setup()
        old, there = held.get("source", source), held.get("destination", destination)
        if (old, there) != (source, destination) and not self.begun:
            forget = [_UNTIE, *((f"delete from {table}", ()) for table in ("objects", "phases"))]  # noqa: S608 - ours
            self._commit([_Change(forget)])
        elif (old, there) == (destination, source) and source != destination:
            raise FatalError(
                f"The ledger in {self.path.parent} belongs to the migration from {old} to {there}: "
                "source and destination are swapped.",
                "Exchange --src-uri and --dst-uri. To move the other way on purpose, give another --work-dir: "
                "what came from there is then there twice.",
            )
        elif old != source:
            raise FatalError(
                f"The ledger in {self.path.parent} belongs to a migration from {old}, not from {source}.",
                f"If both are the same server, add --source-id {shlex.quote(old)}: with another --work-dir everything "
                "would be moved again. If they are two servers, give another --work-dir.",
            )
        elif there != destination:
            raise FatalError(
                f"The ledger in {self.path.parent} belongs to a migration to {there}, not to {destination}.",
                "Give another --work-dir for this destination: what it holds already is recognised.",
            )
        self._commit([_Change([(_SET, ("source", source)), (_SET, ("destination", destination))])])

    def destination_is_now(self, identity: str) -> None:
        """Note that the destination has another address by now."""
        source = self.setup()["source"]
        self._commit([_Change([_UNTIE, (_SET, ("source", source)), (_SET, ("destination", identity))])])

    def begin(self) -> None:
        """Note that a run is under way.

        Where the last one did not end in order, its last changes may be gone with the end of the file's log: then the
        destination is asked again what is there.
        """
        if "under way" in self.setup():
            self._commit([_Change([("delete from setup where key like 'recovered %'", ())])])
        self._commit([_Change([(_SET, ("under way", "yes"))])])
        try:
            self._writing.execute("pragma wal_checkpoint(truncate)").fetchall()
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error

    async def end(self) -> None:
        """Note that the run ended in order."""
        with anyio.CancelScope(shield=True):
            await self._write([("delete from setup where key = 'under way'", ())])

    async def started(self) -> None:
        """Note that a run begins: what is known of the progress of the last one is forgotten."""
        self._progress.clear()
        await self._write([("delete from progress", ()), ("delete from reports", ())])

    def progressed(self, progress: Progress) -> None:
        """Note how far a kind has come: with the next change, or in a moment."""
        self._progress[progress.kind] = progress
        if time.monotonic() - self._progress_at >= PROGRESS_EVERY:
            self._wake.set()

    async def reported(self, report: str) -> None:
        """Note the report of the run, in JSON."""
        await self._write([("insert or replace into reports values (1, ?)", (report,))])

    async def recovered(self, kind: str) -> None:
        """Note that every object of a kind that was at the destination before is in the ledger."""
        await self._write([(_SET, (f"recovered {kind}", "yes"))])

    async def cleared(self) -> None:
        """Note that the destination was looked at and nothing is left over there, nor can anything come late."""
        await self._write([(_SET, (CLEAR, "yes"))])

    async def withdrawn(self, kind: str, src_id: SourceId) -> None:
        """Note that a create was certainly not carried out."""
        await self._update(kind, src_id, state=State.PLANNED)

    async def planned(self, kind: str, names: Mapping[SourceId, str]) -> None:
        """Note objects that will be moved; what is known of them already stays."""
        insert = (
            "insert into objects values (?, ?, ?, 'planned', null, '', '', '', '', 0, 0, 0, 0, '', '')"
            " on conflict (kind, src_id) do update set name = excluded.name"
        )
        await self._write([(insert, (kind, src_id, name)) for src_id, name in names.items()])

    async def intent(self, kind: str, src_id: SourceId, src_location: str) -> None:
        """Note that the create call is about to leave; ``src_location`` is for people, and holds no secret."""
        fields = {"state": State.INTENT, "src_location": shaped(src_location), "intent_at": time.time()}
        await self._write([_updating(kind, src_id, fields), ("delete from setup where key = ?", (CLEAR,))])

    async def created(self, kind: str, src_id: SourceId, dst_id: DestinationId, dst_location: str) -> None:
        """Note the id and artifact root that the destination gave."""
        await self._update(kind, src_id, state=State.CREATED, dst_id=dst_id, dst_location=dst_location)

    async def unsealed(self, kind: str, *src_ids: SourceId) -> None:
        """Note that sealed objects are being changed; their files may not be those of the last copy any more."""
        forget = [(_FORGET_FILES, (kind, src_id)) for src_id in src_ids]
        await self._write([*forget, *(_updating(kind, src_id, {"state": State.CREATED}) for src_id in src_ids)])

    async def copied(
        self, kind: str, src_id: SourceId, files: Iterable[tuple[str, int, str]], *, anew: bool = False
    ) -> None:
        """Note files of an object as they were written: (path, size in bytes, sha256).

        With ``anew``, they are the first of a copy, in place of all that earlier ones brought.
        """
        forget = [(_FORGET_FILES, (kind, src_id))] if anew else []
        keep = [(_KEEP_FILE, (kind, src_id, path, size, bytes.fromhex(digest))) for path, size, digest in files]
        await self._write([*forget, *keep])

    async def forgotten(self, kind: str, *src_ids: SourceId) -> None:
        """Note that objects are not at the destination any more."""
        fields = {"state": State.PLANNED, "dst_id": None, "dst_location": "", "digest": "", "written": ""}
        await self._forget(kind, [_updating(kind, src_id, fields) for src_id in src_ids])

    async def vanished(self, kind: str, *dst_ids: DestinationId) -> None:
        """Note that objects of the destination were removed there."""
        forget = (
            "update objects set state = 'planned', dst_id = null, dst_location = '', digest = '', written = ''"
            " where kind = ? and dst_id = ?"
        )
        await self._forget(kind, [(forget, (kind, dst_id)) for dst_id in dst_ids])

    async def _forget(self, kind: str, objects: Sequence[Statement]) -> None:
        await self._write([*objects, _FORGET_LINKS] if objects and kind == LOGGED_MODEL else objects)

    async def filled(self, kind: str, src_id: SourceId, moved: int) -> None:
        """Note that everything but the seal is there; ``moved`` is in bytes of artifacts."""
        await self._update(kind, src_id, state=State.FILLED, bytes=moved, cause="", error="")

    async def sealed(
        self,
        kind: str,
        src_id: SourceId,
        digest: str,
        *,
        written: str,
        moved: int,
        seconds: float,
        notes: Notes,
        left: Iterable[LeftBehind] = (),
    ) -> None:
        """Note that the object is complete, what of it is kept in another form, and what stays behind."""
        forget = [(sql, (kind, src_id)) for sql in (_FORGET_NOTES, _FORGET_LEFT)]
        keep = [(_NOTE, (kind, src_id, what, detail)) for what, detail in notes]
        keep += [(_LEFT, (kind, src_id, cause, detail)) for cause, detail in left]
        fields = {"state": State.SEALED, "digest": digest, "written": written, "bytes": moved, "seconds": seconds}
        await self._write([*forget, *keep, _updating(kind, src_id, fields | {"cause": "", "error": ""})])

    async def renewed(self, kind: str, digests: Mapping[SourceId, str]) -> None:
        """Note the digests of sealed objects in another form: their content is the same."""
        await self._write([_updating(kind, src_id, {"digest": digest}) for src_id, digest in digests.items()])

    async def failed(self, kind: str, src_id: SourceId, cause: str, error: str) -> None:
        """Note why an object could not be moved this time; its state says how far it came."""
        await self._update(kind, src_id, cause=cause, error=error)

    async def adopted(self, kind: str, rows: Iterable[tuple[SourceId, str, DestinationId, str, str]]) -> None:
        """Note objects that were found at the destination by their markers: (source id, name, id, root, digest)."""
        insert = (
            "insert into objects values (?, ?, ?, ?, ?, '', ?, ?, '', 0, 0, 0, 0, '', '')"
            " on conflict (kind, src_id) do update set state = excluded.state, dst_id = excluded.dst_id,"
            " dst_location = excluded.dst_location, digest = excluded.digest where objects.dst_id is null"
            # Of two that were found the complete one is kept; what this ledger saw created stays in any case.
            " or (objects.attempts = 0 and objects.dst_id <> excluded.dst_id"
            " and objects.digest = '' and excluded.digest <> '')"
        )
        await self._write(
            [
                (insert, (kind, src_id, name, State.SEALED if digest else State.CREATED, dst_id, root, digest))
                for src_id, name, dst_id, root, digest in rows
            ]
        )

    async def linked(self, links: Iterable[Sequence[object]]) -> None:
        """Keep metric points of a logged model for their runs, until the model is forgotten (see ``metric_links``)."""
        insert = "insert into metric_links values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
        await self._write([(insert, tuple(link)) for link in links])

    async def outdated(self, kind: str, src_ids: Iterable[SourceId]) -> None:
        """Note that sealed objects lack something that came later: they are written again when they are selected."""
        forget = "update objects set digest = '' where kind = ? and src_id = ? and state = ?"
        await self._write([(forget, (kind, src_id, State.SEALED)) for src_id in src_ids])

    async def phase(self, name: str, found: int, total: int | None) -> None:
        """Note how many objects of a phase were found so far, and how many there are, where known."""
        upsert = (
            "insert into phases values (?, ?, ?, ?) on conflict (name)"
            " do update set found = excluded.found, total = coalesce(excluded.total, phases.total),"
            " updated_at = excluded.updated_at"
        )
        await self._write([(upsert, (name, found, total, time.time()))])

    async def _update(self, kind: str, *src_ids: SourceId, **fields: object) -> None:
        await self._write([_updating(kind, src_id, fields) for src_id in src_ids])

    async def _write(self, statements: Sequence[Statement]) -> None:
        if not statements:
            return
        change = _Change(statements)
        self._pending.append(change)
        self._wake.set()
        await change.done.wait()
        if change.error is not None:
            raise change.error

    async def run(self) -> None:
        """Commit what is pending, again and again, until `stop`."""
        while not (self._closing and not self._pending and not self._progress):
            await self._wake.wait()
            self._wake = anyio.Event()
            if self._closing:
                self._wake.set()
            changes, self._pending = self._pending, []
            if self._progress:
                changes.append(self._progress_so_far())
            if not changes:
                continue
            try:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(self._commit, changes)
            except Exception as error:  # noqa: BLE001 - those who asked for the changes raise it
                for change in changes:
                    change.error = error
            finally:
                for change in changes:
                    change.done.set()

    def _progress_so_far(self) -> _Change:
        progress, self._progress = self._progress, {}
        self._progress_at = time.monotonic()
        return _Change([(_PROGRESS, (*one, time.time())) for one in progress.values()])

    def stop(self) -> None:
        """Let `run` end once everything pending is committed."""
        self._closing = True
        self._wake.set()

    def _commit(self, changes: Sequence[_Change]) -> None:
        try:
            self._writing.execute("begin immediate")
            for change in changes:
                for sql, values in change.statements:
                    self._writing.execute(sql, values)
            self._writing.execute("commit")
        except Exception as error:
            if self._writing.in_transaction:
                self._writing.execute("rollback")
            if isinstance(error, sqlite3.Error):
                raise trouble(self.path, error) from error
            raise

    def close(self) -> None:
        """Close both connections."""
        super().close()
        self._writing.close()


Notes = Iterable[tuple[str, str]]
_SET = "insert into setup (key, value) values (?, ?) on conflict do nothing"
#: Forgets the pair of ends, and what was found out about the destination.
_UNTIE = ("delete from setup where key in ('source', 'destination', ?) or key like 'recovered %'", (CLEAR,))
_PROGRESS = (
    f"insert into progress values ({', '.join('?' * len(Progress._fields))}, ?) on conflict (kind) do update set "  # noqa: S608 - names are ours
    + ", ".join(f"{name} = excluded.{name}" for name in (*Progress._fields[1:], "updated_at"))
)
_FORGET_FILES = "delete from copied_files where kind = ? and src_id = ?"
_KEEP_FILE = "insert or replace into copied_files values (?, ?, ?, ?, ?)"
#: A model that is not at the destination is read again, with its points, before it is made anew.
_FORGET_LINKS = (
    "delete from metric_links where model_id in (select src_id from objects where kind = ? and dst_id is null)",
    (LOGGED_MODEL,),
)
_FORGET_NOTES = "delete from notes where kind = ? and src_id = ?"
_FORGET_LEFT = "delete from left_behind where kind = ? and src_id = ?"
_LEFT = "insert into left_behind values (?, ?, ?, ?) on conflict do nothing"
_NOTE = "insert into notes (kind, src_id, what, detail) values (?, ?, ?, ?) on conflict do nothing"


def _updating(kind: str, src_id: SourceId, fields: Mapping[str, object]) -> Statement:
    columns = ", ".join(f"{name} = ?" for name in fields)
    tried = ", attempts = attempts + 1" if fields.get("state") == State.INTENT else ""
    sql = f"update objects set {columns}{tried} where kind = ? and src_id = ?"  # noqa: S608 - names are ours
    return sql, (*fields.values(), kind, src_id)
