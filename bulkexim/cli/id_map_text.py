"""Writes the id map, a row at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TextIO

from bulkexim.cli import results
from bulkexim.config import KINDS
from bulkexim.errors import UsageError
from bulkexim.expected import nearest, shown
from bulkexim.ledger.queries import look
from bulkexim.left_behind import UNSUPPORTED_KINDS

COLUMNS = ("source_id", "destination_id", "kind")
Rows = Iterable[tuple[str, str, str]]


def write(work_dir: Path, form: str, kinds: Sequence[str], output: Path | None) -> None:
    """Write the map of the ledger in ``work_dir``, of all kinds or of some, as ``csv`` or ``json``.

    :raises UsageError: there is no ledger, no such kind, or ``output`` cannot be written
    :raises TemporaryTrouble: the disk of ``output`` is full
    """
    wanted = {_known(kind) for kind in kinds}
    with closing(look(work_dir)) as queries, results.file(output) if output else results.stdout() as text:
        rows = (row for row in queries.id_map() if not wanted or row[2] in wanted)
        (_write_json if form == "json" else _write_csv)(rows, text)


def _known(kind: str) -> str:
    """Return a kind as the ledger names it.

    :raises UsageError: there is none of that name
    """
    known, name = (*KINDS, *UNSUPPORTED_KINDS), kind.replace("-", "_")
    if name not in known:
        raise UsageError(f"--kind: there is no kind {shown(kind)}.", nearest(name, known, KINDS))
    return name


def _write_csv(rows: Rows, output: TextIO) -> None:
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def _write_json(rows: Rows, output: TextIO) -> None:
    before = "[\n"
    for row in rows:
        output.write(before + json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False))
        before = ",\n"
    output.write("\n]\n" if before == ",\n" else "[]\n")
