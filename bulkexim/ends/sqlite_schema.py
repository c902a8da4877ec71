"""Whether the installed MLflow can serve an SQLite store as it is.

Its server adds the tables that an older store lacks without being asked, and refuses what it cannot bring up to date.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
import sys
from importlib.util import find_spec
from pathlib import Path

from bulkexim.ends.local_store import ACCEPTED
from bulkexim.errors import FatalError, UsageError


def check_schema(store: sqlite3.Connection, tables: set[str], path: Path) -> None:
    """Check that the schema of a store, open and with these tables, is the one that the installed MLflow works with.

    :raises UsageError: it is no MLflow store, or not all of MLflow is installed
    :raises FatalError: the schema is older or newer
    """
    if not {"experiments", "runs"} <= tables:
        raise UsageError(f"{path} is not an MLflow store: it has no tables of experiments and runs.", ACCEPTED)
    query = "select version_num from alembic_version"
    schema = {row[0] for row in store.execute(query)} if "alembic_version" in tables else set()
    known, head = _schemas()
    if schema == {head}:
        return
    if not schema <= known:
        raise FatalError(
            f"{path} was written by a newer MLflow than the one installed here.", "Install a newer mlflow."
        )
    raise _older(path)


def _older(path: Path) -> FatalError:
    copy = path.with_stem(f"{path.stem}-upgraded")
    has_wal = path.with_name(f"{path.name}-wal").exists()
    copying = ["sqlite3", str(path), f".backup '{copy}'"] if has_wal else ["cp", str(path), str(copy)]
    # With the MLflow that will serve it: another one may come first on the path, and be an older one.
    upgrading = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{copy}"]
    return FatalError(
        f"{path} has the schema of an older MLflow, and a store is never altered here.",
        f"While nothing writes to it, upgrade a copy in the same folder ({shlex.join(copying)}, "
        f"then {shlex.join(upgrading)}), and run again with sqlite:///{copy}.",
    )


def _schemas() -> tuple[frozenset[str], str]:
    """Return every schema that the installed MLflow knows, and its own.

    They are read from its files, for importing it takes seconds.
    """
    spec = find_spec("mlflow")
    folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    files = [file for folder in folders for file in folder.glob("store/db_migrations/versions/*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    known = {name for text in texts for name in _assigned(text, "revision")}
    heads = known - {name for text in texts for name in _assigned(text, "down_revision")}
    if len(heads) != 1:
        raise UsageError("The installed MLflow cannot serve a database.", "Install all of it: pip install mlflow.")
    return frozenset(known), heads.pop()


def _assigned(text: str, name: str) -> list[str]:
    line = re.search(rf"^{name}\b[^=\n]*=(.*)$", text, re.MULTILINE)
    return re.findall(r"[\"'](\w+)[\"']", line[1]) if line else []
