"""A folder of links to a file store: to all of it that MLflow can show.

MLflow's server adds folders that it misses to the root of a file store. So the server gets another root; below it, only
calls that write would change anything, and a source gets none. A folder that MLflow would show is a link to that of the
store; where something in it has to be left out or added, it is a folder of links again.
"""

from __future__ import annotations

from pathlib import Path

from anyio import from_thread

from bulkexim.ends.local_artifacts import LocalRoots
from bulkexim.ends.local_store import ACCEPTED, LocalStore
from bulkexim.ends.replica import Replica
from bulkexim.ends.store_folders import StoreFolders, read_store
from bulkexim.ends.store_values import Tree
from bulkexim.errors import UsageError

#: What MLflow calls a file store unless it is told otherwise.
DEFAULT_NAME = "mlruns"


def files_replica(store: LocalStore, folder: Path) -> Replica:
    """Make a root in ``folder`` for a file store. Runs in a worker thread and ends when its caller is cancelled.

    :raises UsageError: the folder is no file store
    """
    try:
        read = read_store(store.path, store.home, from_thread.check_cancelled)
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read ({error.strerror}).", "Check the rights there.") from error
    if not read.holds_any:
        why = f" {read.unaccounted[0].where} {read.unaccounted[0].why}." if read.unaccounted else ""
        problem = f"{store.path} is not a file store: it holds no experiment (such as 0/meta.yaml).{why}"
        below = store.path / DEFAULT_NAME
        raise UsageError(problem, f"Did you mean {below}?" if below.is_dir() else ACCEPTED)
    root = folder / "store"
    make(root, read.tree)
    found = LocalRoots(store.home, read.roots.beside, frozenset(read.roots.places), store.path)
    return Replica(
        str(root), read.roots.doubtful, found, unaccounted=tuple(read.unaccounted), warnings=_warnings(store, read)
    )


def make(path: Path, tree: Tree) -> None:
    """Make what a tree says at a path where nothing is."""
    if isinstance(tree, Path):
        path.symlink_to(tree)
    elif isinstance(tree, bytes):
        path.write_bytes(tree)
    else:
        path.mkdir()
        for name, inside in tree.items():
            make(path / name, inside)


def _warnings(store: LocalStore, read: StoreFolders) -> tuple[str, ...]:
    moved = len(read.roots.beside) - read.roots.by_right
    if not moved:
        return ()
    warning = (
        f"{store.path} says of {moved:,} artifact roots that they are in folders which do not exist (such as "
        f"{read.roots.example}): their files are read from beside the meta.yaml of each run or logged model."
    )
    return (warning,)
