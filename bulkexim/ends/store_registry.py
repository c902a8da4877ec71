"""The registered models of a file store, and their versions: ``models/<name>/version-<number>``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bulkexim.ends.store_metas import META, BadMetaError, RegisteredModelMeta, VersionMeta, inside, meta
from bulkexim.ends.store_values import Tree, checked_values, pruned, text
from bulkexim.ends.unaccounted import Unaccounted
from bulkexim.left_behind import Cause

_VERSION = "version-"
_NUMBER = re.compile("[1-9][0-9]{0,9}")


def registered_models(path: Path, found: Callable[[Unaccounted], None]) -> Tree:
    """Return what of ``path``, the folder of all registered models, MLflow can show; ``found`` gets everything else.

    :raises OSError: the folder cannot be listed
    """
    changed: dict[str, Tree | None] = {}
    with os.scandir(path) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            changed[entry.name] = None
        elif entry.is_dir() or entry.is_symlink():
            tree = _Model(Path(entry.path), found).read()
            if not isinstance(tree, Path):
                changed[entry.name] = tree
    return pruned(path, [entry.name for entry in entries], changed)


@dataclass(frozen=True, slots=True)
class _Model:
    folder: Path
    found: Callable[[Unaccounted], None]

    def read(self) -> Tree | None:
        try:
            self._check()
            names = inside(self.folder)
        except BadMetaError as error:
            why = str(error)
            self._add("registered_model", self.folder, why)
            for version in sorted(self.folder.glob(f"{_VERSION}*/{META}")):
                self._add("model_version", version.parent, f"lies in the folder of a registered model that {why}")
            return None

        def tell(why: str) -> None:
            self._add("registered_model", self.folder, why, value=True)

        changed: dict[str, Tree | None] = {}
        for name in ("tags", "aliases"):
            if names.get(name) and not isinstance(tree := checked_values(self.folder / name, text, tell), Path):
                changed[name] = tree
        for name in sorted(name for name, is_dir in names.items() if is_dir and name.startswith(_VERSION)):
            if not isinstance(version_tree := self._version(self.folder / name), Path):
                changed[name] = version_tree
        return pruned(self.folder, list(names), changed)

    def _version(self, folder: Path) -> Tree | None:
        try:
            self._check_version(folder)
            names = inside(folder)
        except BadMetaError as error:
            self._add("model_version", folder, str(error))
            return None

        def tell(why: str) -> None:
            self._add("model_version", folder, why, value=True)

        changed: dict[str, Tree | None] = {}
        if "tags" in names and not isinstance(tree := checked_values(folder / "tags", text, tell), Path):
            changed["tags"] = tree
        return pruned(folder, list(names), changed)

    def _check(self) -> None:
        known = meta(self.folder, RegisteredModelMeta)
        if known.name != self.folder.name:
            raise BadMetaError(f"says that it is the registered model {known.name!r}")

    def _check_version(self, folder: Path) -> None:
        known = meta(folder, VersionMeta)
        if known.name != self.folder.name:
            raise BadMetaError(f"says that it is a version of the registered model {known.name!r}")
        if f"{_VERSION}{known.version}" != folder.name:
            raise BadMetaError(f"says that it is version {known.version}")
        if not _NUMBER.fullmatch(str(known.version)):
            raise BadMetaError("has a number that MLflow gives to no version")

    def _add(self, kind: str, folder: Path, why: str, *, value: bool = False) -> None:
        model = self.folder.name
        where = folder.relative_to(self.folder.parent.parent).as_posix()
        object_id = model if folder == self.folder else f"{model}/{folder.name.removeprefix(_VERSION)}"
        cause = Cause.VALUE if value else Cause.FOLDER
        self.found(Unaccounted(kind, object_id, where, why, name=model, cause=cause))
