"""The database of a server, written in bulk: a hundred thousand rows a second, where the API takes a hundred runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from io import StringIO
from types import TracebackType
from typing import Any, Self

from bench.workloads.rows import COLUMNS, Row

SQLITE = "sqlite:///"
#: Seconds for which the server may hold the lock.
LOCK_SECONDS = 30.0


class Store:
    """An open store, by the URI that its server was started with; everything is written when it is left."""

    def __init__(self, uri: str) -> None:
        self._sqlite = uri.startswith(SQLITE)
        self._connection: Any
        if self._sqlite:
            self._connection = sqlite3.connect(uri.removeprefix(SQLITE), timeout=LOCK_SECONDS)
        else:
            import psycopg2  # noqa: PLC0415 - only where there is a PostgreSQL

            self._connection = psycopg2.connect(uri.replace("+psycopg2", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._connection.commit()
        self._connection.close()

    def write(self, table: str, rows: Sequence[Row]) -> None:
        """Append rows, whose values stand in the order of `COLUMNS`."""
        columns = ", ".join(COLUMNS[table])
        if self._sqlite:
            holes = ", ".join("?" * len(COLUMNS[table]))
            self._connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({holes})", rows)  # noqa: S608 - ours
        else:
            self._connection.cursor().copy_expert(f"COPY {table} ({columns}) FROM STDIN", StringIO(_as_text(rows)))

    def settle(self) -> None:
        """Do what a store that grew slowly has done long since: count on from the last id, know its own statistics."""
        cursor = self._connection.cursor()
        if not self._sqlite:
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), max(experiment_id))"
                " FROM experiments"
            )
        cursor.execute("ANALYZE")

    def rows(self, table: str) -> list[Row]:
        """Return every row of a table, by the columns of `COLUMNS`."""
        cursor = self._connection.cursor()
        cursor.execute(f"SELECT {', '.join(COLUMNS[table])} FROM {table}")  # noqa: S608 - ours
        return list(cursor.fetchall())


def _as_text(rows: Iterable[Row]) -> str:
    """Return rows as COPY reads them; no value of a workload holds a tab, a newline or a backslash."""
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)
