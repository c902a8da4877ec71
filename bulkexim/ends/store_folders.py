"""Reads a file store folder by folder, by the rules of MLflow's own ``FileStore``, before MLflow serves it.

MLflow skips a folder that it cannot use without a word, or fails at all that stands beside it. So each folder is looked
at here first: MLflow gets those that it can show, and every other one is named. (``mlflow.store.tracking.file_store``,
read from the release 3.17.2.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bulkexim.ends.local_artifacts import StoreRoots, exists
from bulkexim.ends.store_inputs import Inputs
from bulkexim.ends.store_metas import (
    META,
    BadMetaError,
    ExperimentMeta,
    LoggedModelMeta,
    RunMeta,
    fields,
    inside,
    meta,
)
from bulkexim.ends.store_registry import registered_models
from bulkexim.ends.store_values import Check, Tree, checked_values, model_points, points, pruned, text
from bulkexim.ends.unaccounted import Unaccounted
from bulkexim.left_behind import Cause

TRASH, MODELS = ".trash", "models"
#: What an experiment's folder holds apart from runs.
RESERVED = frozenset({"tags", "datasets", "traces", MODELS})
_EXPERIMENT_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,63}")
_OBJECT_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
#: Without these MLflow does not take a folder for a run.
_OF_A_RUN = ("metrics", "params", "artifacts")
_OF_A_RUN_META = frozenset({"run_id", "run_uuid"})


@dataclass(slots=True)
class StoreFolders:
    """The folders of a file store: what MLflow can be shown (``tree``), and what it cannot."""

    path: Path
    roots: StoreRoots
    tree: dict[str, Tree] = field(default_factory=dict)
    unaccounted: list[Unaccounted] = field(default_factory=list)
    #: Folders of the experiments that are shown, deleted ones too.
    experiments: list[Path] = field(default_factory=list)
    #: Called between folders; what it raises ends the reading.
    check: Callable[[], None] = lambda: None

    @property
    def holds_any(self) -> bool:
        """Whether anything in the folder shows that MLflow made it."""
        return bool(self.experiments) or any(_is_of_mlflow(one, self.path / one.where) for one in self.unaccounted)


def read_store(path: Path, home: Path, check: Callable[[], None] = lambda: None) -> StoreFolders:
    """Read the file store at ``path``; addresses in it that are relative count from ``home``.

    ``check`` is called for every run and may raise, to end the reading.

    :raises OSError: the folder itself, or the one of deleted experiments, cannot be listed
    """
    store = StoreFolders(path, StoreRoots(home), check=check)
    store.tree |= _Experiments(store, deleted=False).read(path)
    if (path / TRASH).is_dir():
        store.tree[TRASH] = _Experiments(store, deleted=True).read(path / TRASH)
    if (path / MODELS).is_dir():
        store.tree[MODELS] = registered_models(path / MODELS, store.unaccounted.append)
    store.unaccounted = [one.as_text() for one in store.unaccounted]
    return store


def folders(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the folders in one, by name, with what is wrong with them; what a desktop or tool hides there is skipped.

    :raises OSError: the folder cannot be listed
    """
    with os.scandir(path) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield entry.name, "" if os.access(entry.path, os.R_OK | os.X_OK) else "cannot be read (Permission denied)"
        elif entry.is_symlink() and not exists(Path(entry.path)):
            yield entry.name, "is a link that leads nowhere"


def _is_of_mlflow(one: Unaccounted, folder: Path) -> bool:
    """Whether a folder shows that it lies in a file store, though MLflow cannot show it.

    The folder of an experiment is no file store, and what lies in it says of itself that it is a run.
    """
    try:
        said = fields(folder).keys()
    except BadMetaError:
        return folder.name.isdecimal() and (folder / META).is_file()
    # The folder above a store holds the store where this one would hold an experiment.
    if one.kind == "experiment":
        return "experiment_id" in said and not _OF_A_RUN_META & said
    return bool(_OF_A_RUN_META & said) or (one.kind == "logged_model" and "model_id" in said)


@dataclass(frozen=True, slots=True)
class _Experiments:
    """The experiments in one folder: active ones, or deleted ones."""

    store: StoreFolders
    deleted: bool

    def read(self, path: Path) -> dict[str, Tree]:
        shown: dict[str, Tree] = {}
        for name, problem in folders(path):
            if name == MODELS and not self.deleted:
                continue
            folder = path / name
            try:
                known = self._meta(folder, problem)
                shown[name] = _Experiment(self.store, folder, known.name, deleted=self.deleted).read()
                self.store.experiments.append(folder)
            except BadMetaError as error:
                self._lost(folder, str(error))
        return shown

    @staticmethod
    def _meta(folder: Path, problem: str) -> ExperimentMeta:
        known = meta(folder, ExperimentMeta, problem)
        if not _EXPERIMENT_ID.fullmatch(folder.name):
            raise BadMetaError("has a name that MLflow takes for no id of an experiment")
        if str(known.experiment_id) != folder.name:
            raise BadMetaError(f"says that it is experiment {known.experiment_id}")
        return known

    def _lost(self, folder: Path, why: str) -> None:
        """Name an experiment that cannot be shown, and each object in it."""
        where = folder.relative_to(self.store.path).as_posix()
        lost = Unaccounted("experiment", folder.name, where, why, folder.name, _name_in(folder), deleted=self.deleted)
        self.store.unaccounted.append(lost)
        for kind, below in (("run", folder), ("logged_model", folder / MODELS)):
            for one in sorted(path.parent for path in below.glob(f"*/{META}")):
                at = f"{where}/{one.relative_to(folder).as_posix()}"
                reason = f"lies in the folder of an experiment that {why}"
                self.store.unaccounted.append(lost._replace(kind=kind, id=one.name, where=at, why=reason))


def _name_in(folder: Path) -> str:
    """Return the name that a folder gives to an experiment, if it gives any."""
    try:
        return str(fields(folder).get("name") or "")
    except BadMetaError:
        return ""


@dataclass(frozen=True, slots=True)
class _Experiment:
    """One experiment that can be shown, with what it holds."""

    store: StoreFolders
    folder: Path
    name: str
    deleted: bool
    #: Logged models that runs name as their outputs.
    outputs: set[str] = field(default_factory=set)

    def read(self) -> Tree:
        changed: dict[str, Tree | None] = {}
        inputs = Inputs(self.folder / "datasets")
        names = list(inside(self.folder))
        for name, problem in folders(self.folder):
            self.store.check()
            if name not in RESERVED:
                self._note(changed, name, self._run(self.folder / name, problem, inputs))
        if "tags" in names:
            tags = checked_values(self.folder / "tags", text, lambda why: self._add("experiment", "", why, value=True))
            self._note(changed, "tags", tags)
        if MODELS in names:
            self._note(changed, MODELS, self._models(self.folder / MODELS))
        # What is hidden there MLflow would take for a run.
        changed |= {name: None for name in names if name.startswith(".")}
        return pruned(self.folder, names, changed)

    def _note(self, changed: dict[str, Tree | None], name: str, tree: Tree | None) -> None:
        if not isinstance(tree, Path):
            changed[name] = tree

    def _run(self, folder: Path, problem: str, inputs: Inputs) -> Tree | None:
        try:
            known = meta(folder, RunMeta, problem)
            self._check_place(folder, "run", known.run_id, known.experiment_id)
            names = inside(folder)
        except BadMetaError as error:
            self._add("run", folder.name, str(error))
            return None
        gone = known.lifecycle_stage == "deleted"

        def tell(why: str) -> None:
            self._add("run", folder.name, why, value=True, gone=gone)

        changed: dict[str, Tree | None] = {name: {} for name in _OF_A_RUN if not names.get(name)}
        self._values(changed, folder, names, points, tell)
        for name in ("inputs", "outputs"):
            if names.get(name):
                self._note(changed, name, inputs.of(folder / name, tell))
        if names.get("outputs"):
            self.outputs.update(inside(folder / "outputs"))
        self.store.roots.add("run", known.artifact_uri or "", folder, by_right=self.deleted)
        return pruned(folder, list(names), changed)

    def _values(
        self,
        changed: dict[str, Tree | None],
        folder: Path,
        names: Mapping[str, bool],
        metrics: Check,
        tell: Callable[[str], None],
    ) -> None:
        """Check the metrics, params and tags of a run or a logged model."""
        for name, check in (("metrics", metrics), ("params", text), ("tags", text)):
            if names.get(name):
                self._note(changed, name, checked_values(folder / name, check, tell))

    def _models(self, path: Path) -> Tree:
        changed: dict[str, Tree | None] = {}
        names = list(inside(path))
        for name, problem in folders(path):
            self._note(changed, name, self._model(path / name, problem))
        changed |= {name: None for name in names if name.startswith(".")}
        return pruned(path, names, changed)

    def _model(self, folder: Path, problem: str) -> Tree | None:
        try:
            known = meta(folder, LoggedModelMeta, problem)
            self._check_place(folder, "logged model", known.model_id, known.experiment_id)
            names = inside(folder)
        except BadMetaError as error:
            self._add("logged_model", folder.name, str(error))
            return None
        gone = known.lifecycle_stage == "deleted"
        if gone and folder.name not in self.outputs:
            why = "is deleted, and no run names it as an output, without which MLflow shows no deleted logged model"
            self._add("logged_model", folder.name, why, gone=True)

        def tell(why: str) -> None:
            self._add("logged_model", folder.name, why, value=True, gone=gone)

        changed: dict[str, Tree | None] = {}
        self._values(changed, folder, names, model_points, tell)
        self.store.roots.add("logged_model", known.artifact_location, folder, by_right=self.deleted)
        return pruned(folder, list(names), changed)

    def _check_place(self, folder: Path, word: str, object_id: str, experiment_id: int | str) -> None:
        """Make sure that a folder has the name that it should have, and lies where it should lie.

        :raises BadMetaError: it does not
        """
        if not _OBJECT_ID.fullmatch(folder.name):
            raise BadMetaError(f"has a name that MLflow takes for no id of a {word}")
        if object_id != folder.name:
            raise BadMetaError(f"says that it is {word} {object_id}")
        if str(experiment_id) != self.folder.name:
            raise BadMetaError(
                f"says that it belongs to experiment {experiment_id}, and lies in the folder of experiment "
                f"{self.folder.name}, so MLflow shows it in neither"
            )

    def _add(self, kind: str, object_id: str, why: str, *, value: bool = False, gone: bool = False) -> None:
        below = f"{MODELS}/{object_id}" if kind == "logged_model" else object_id
        where = "/".join(filter(None, (self.folder.relative_to(self.store.path).as_posix(), below)))
        self.store.unaccounted.append(
            Unaccounted(
                kind,
                object_id or self.folder.name,
                where,
                why,
                self.folder.name,
                self.name,
                deleted=self.deleted or gone,
                cause=Cause.VALUE if value else Cause.FOLDER,
            )
        )
