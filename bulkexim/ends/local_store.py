"""Addresses of local stores: a folder such as ``./mlruns``, or an SQLite database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bulkexim.errors import UsageError

ACCEPTED = "Give a folder such as ./mlruns, or a database such as sqlite:///mlflow.db."
#: Names that MLflow takes for a service, though they look like a folder.
_SERVICES = frozenset({"databricks", "databricks-uc", "uc"})
_SQLITE = "sqlite:///"
#: Characters of a path that a sentence repeats.
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class LocalStore:
    """A store on this machine; ``path`` is absolute and free of links."""

    path: Path
    is_database: bool

    @property
    def identity(self) -> str:
        """The address under which the store is remembered, whatever folder it was named from."""
        return f"{_SQLITE}{self.path}" if self.is_database else self.path.as_uri()

    @property
    def home(self) -> Path:
        """The folder that relative addresses in the store count from."""
        return self.path.parent


def scheme(uri: str) -> str:
    """Return what stands before the colon of an address, in lower case; a path has none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    return found[1].lower() if found else ""


def is_local(uri: str) -> bool:
    """Whether an address names a store on this machine (which need not exist)."""
    return scheme(uri) in ("", "file", "sqlite") and uri not in _SERVICES


def local_store(uri: str) -> LocalStore:
    """Return the store that a local address names. Three slashes after ``sqlite:`` are relative, four absolute.

    :raises UsageError: the address names no file or folder of this machine, or there is none
    """
    is_database = scheme(uri) == "sqlite"
    named = _database(uri) if is_database else _folder(uri)
    try:
        path = Path(named).expanduser().resolve()
        is_there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long, a NUL in it, no such user, a circle of links, a folder that we may not look into.
        raise UsageError(f"There is no store at {named[:_SHOWN]!r} ({_reason(error)}).", ACCEPTED) from error
    if not is_there:
        raise UsageError(f"There is no store at {path}.", ACCEPTED)
    if is_database and not path.is_file():
        raise UsageError(f"{path} is not an SQLite database.", ACCEPTED)
    if not is_database and not path.is_dir():
        raise UsageError(f"{path} is not a folder.", f"If it is an SQLite database, give {_SQLITE}{path}.")
    return LocalStore(path, is_database)


def _reason(error: Exception) -> str:
    return error.strerror or "" if isinstance(error, OSError) else str(error)


def _database(uri: str) -> str:
    path = uri[len(_SQLITE) :].partition("?")[0]
    if not uri.lower().startswith(_SQLITE) or path in ("", ":memory:"):
        remedy = "Give sqlite:///mlflow.db or, with four slashes, sqlite:////folder/mlflow.db."
        raise UsageError(f"{uri} names no file.", remedy)
    return path


def _folder(uri: str) -> str:
    if not scheme(uri):
        return uri
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise UsageError(f"{uri} names no folder of this machine.", "Give file:///folder/mlruns, with three slashes.")
    return unquote(parts.path)
