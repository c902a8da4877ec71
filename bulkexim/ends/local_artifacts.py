"""Whether the artifacts of a local store can be reached.

MLflow lists a folder that does not exist as an empty one. The artifacts of a store that was moved, which still names
its old place, would be missed without a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bulkexim.ends.local_store import LocalStore, scheme
from bulkexim.errors import FatalError

#: Where ``mlflow server`` keeps the artifacts that it proxies, unless told otherwise.
SERVICE_FOLDER = "mlartifacts"
_WITHOUT = "or leave all artifacts out with --no-artifacts."


def check_roots(store: LocalStore, roots: Iterable[str]) -> None:
    """Check that the artifact roots of a store's experiments are where the store says.

    :raises FatalError: they belong to a server's artifact service, or to another place or machine
    """
    for root in sorted(roots):
        if scheme(root) in ("mlflow-artifacts", "http", "https"):
            _check_service(store, root)
        elif scheme(root) in ("", "file"):
            _check_folder(store, root)


def service_folder(store: LocalStore) -> Path:
    """Return where the artifacts are that a server of this store proxied."""
    return store.home / SERVICE_FOLDER


def _check_service(store: LocalStore, root: str) -> None:
    if not service_folder(store).is_dir():
        raise FatalError(
            f"The artifacts of {store.path} are kept by the server that it belongs to ({root}), "
            f"and there is no {service_folder(store)}.",
            f"Start that server and give its address, {_WITHOUT}",
        )


def _check_folder(store: LocalStore, root: str) -> None:
    folder = store.home / unquote(urlsplit(root).path if scheme(root) else root)
    if folder.exists() or not _was_moved(store, folder):
        return
    raise FatalError(
        f"{store.path} was moved: it says that artifacts are in {folder}, which does not exist.",
        f"Make that place again (a symbolic link will do), {_WITHOUT}",
    )


def _was_moved(store: LocalStore, folder: Path) -> bool:
    """Whether a missing folder was lost. One that never got an artifact is missing by right."""
    twins = (store.home.joinpath(*folder.parts[-2:]), store.path / folder.name)
    return any(twin.exists() for twin in twins) or not folder.parent.parent.exists()
