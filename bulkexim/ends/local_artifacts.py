"""Where the artifacts of a local store are, and whether they can be reached.

MLflow lists a folder that does not exist as an empty one. The artifacts of a store that was moved, which still names
its old place, would be missed without a word; so would those of an experiment that a file store moved to its trash.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bulkexim.ends.local_store import LocalStore, scheme
from bulkexim.errors import FatalError

#: Where ``mlflow server`` keeps the artifacts that it proxies, unless told otherwise.
SERVICE_FOLDER = "mlartifacts"
_SERVICES = ("mlflow-artifacts", "http", "https")
_WITHOUT = "or leave all artifacts out with --no-artifacts."


@dataclass(frozen=True, slots=True)
class LocalRoots:
    """Finds the folders of artifact roots. ``home`` is what relative addresses count from.

    ``beside`` holds the folders of roots that are not where a file store says, by the kind and id of their objects: the
    files of an object lie in ``artifacts`` in the folder that describes it, unless they were given another place.
    ``places`` held the folders of experiments before the store was moved, or MLflow put one into its trash.
    """

    home: Path
    beside: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    places: frozenset[Path] = frozenset()
    #: The folder of a file store; none of a database.
    store: Path | None = None

    @property
    def service(self) -> Path:
        """Where the artifacts are that a server of this store proxied."""
        return self.home / SERVICE_FOLDER

    def folder(self, location: str, kind: str, object_id: str) -> Path | None:
        """Return the folder of an artifact root on this machine, or ``None`` for storage elsewhere.

        ``location`` is the URI of the root of the run or logged model ``object_id``, by its ``kind``.
        """
        if scheme(location) == "mlflow-artifacts":
            inside = urlsplit(location).path.strip("/")
            return None if ".." in inside.split("/") or not self.service.is_dir() else self.service / inside
        return self.beside.get((kind, object_id)) or named_folder(self.home, location)

    def is_lost(self, location: str) -> bool:
        """Return whether a root names a folder that does not exist, and neither do those above it.

        Otherwise it may be that nobody ever wrote an artifact there.
        """
        named = named_folder(self.home, location)
        if named is None or exists(named):
            return False
        place = _experiment(named).parent
        return place not in self.places and not any(map(exists, (place, place.parent)))


@dataclass(slots=True)
class StoreRoots:
    """Collects, while a file store is read, the artifact roots that are not where the store says."""

    home: Path
    #: See `LocalRoots`.
    beside: dict[tuple[str, str], Path] = field(default_factory=dict)
    places: set[Path] = field(default_factory=set)
    #: How many of them nobody but MLflow moved; what the store says of one of the others.
    by_right: int = 0
    example: str = ""
    #: Roots that belong to an artifact service, and whether there are others.
    served: dict[str, None] = field(default_factory=dict)
    others: bool = False
    #: The folders of experiments with roots that are nowhere.
    nowhere: set[Path] = field(default_factory=set)

    def add(self, kind: str, location: str, folder: Path, *, by_right: bool = False) -> None:
        """Take the root of one object; ``folder`` holds what the store says of it.

        ``by_right`` says that MLflow itself moved that folder.
        """
        if scheme(location) in _SERVICES:
            self.served[location] = None
            return
        self.others = True
        named, own = named_folder(self.home, location), folder / "artifacts"
        if not location:
            if _is_filled(own):
                self.beside[kind, folder.name] = own
        elif named is None or exists(named):
            return
        elif _is_filled(own):
            self.beside[kind, folder.name] = own
            self.by_right += by_right
            self.example = self.example or ("" if by_right else str(named))
            self.places.add(_experiment(named).parent)
        else:
            self.nowhere.add(_experiment(named))

    @property
    def doubtful(self) -> frozenset[str]:
        """Artifact locations that have to be looked at: places of which nothing is known, or a service with all files.

        Where a service has the files of some objects only, these stay behind by themselves.
        """
        unknown = {str(folder) for folder in self.nowhere if folder.parent not in self.places}
        return frozenset(unknown if self.others else unknown | self.served.keys())


def named_folder(home: Path, location: str) -> Path | None:
    """Return the folder that an address of a local store names, as MLflow does; ``None`` for other storage."""
    if not is_folder(location):
        return None
    return home / unquote(urlsplit(location).path if scheme(location) == "file" else location)


def is_folder(location: str) -> bool:
    """Whether an address names a folder; one letter and a colon stand before those of Windows."""
    return bool(location) and "\0" not in location and (scheme(location) in ("", "file") or len(scheme(location)) == 1)


def exists(path: Path) -> bool:
    """Whether something is there that this user can see."""
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True


def _experiment(root: Path) -> Path:
    """Return the folder of an experiment from the root of a run in it, or of a logged model in its ``models``."""
    above = root.parent.parent
    return above.parent if above.name == "models" else above


def _is_filled(folder: Path) -> bool:
    try:
        with os.scandir(folder) as found:
            return any(found)
    except OSError:
        return False


def check_roots(store: LocalStore, roots: Iterable[str]) -> None:
    """Check that the artifact roots of a store's experiments are where the store says.

    :raises FatalError: they belong to a server's artifact service, or to another place or machine
    """
    for root in sorted(roots):
        if scheme(root) in _SERVICES:
            _check_service(store, root)
        elif (folder := named_folder(store.home, root)) is not None:
            _check_folder(store, folder)


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


def _check_folder(store: LocalStore, folder: Path) -> None:
    if folder.exists() or not _was_moved(store, folder):
        return
    raise FatalError(
        f"{store.path} was moved: it says that artifacts are in {folder}, which does not exist.",
        f"Make that place again (a symbolic link will do), {_WITHOUT}",
    )


def _was_moved(store: LocalStore, folder: Path) -> bool:
    """Whether a missing folder was lost. One that never got an artifact is missing by right."""
    twins = (store.home.joinpath(*folder.parts[-2:]), store.path / folder.name) if store.is_database else ()
    return any(twin.exists() for twin in twins) or not folder.parent.parent.exists()
