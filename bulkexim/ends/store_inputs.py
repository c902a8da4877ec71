"""The links of a run of a file store: to the datasets and logged models that it read, and to the models it wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from bulkexim.ends.store_metas import BadMetaError, fields, inside
from bulkexim.ends.store_values import Tree, pruned

_Input = Literal["RUN", "DATASET", "MODEL"]
_Output = Literal["RUN_OUTPUT", "MODEL_OUTPUT"]


class _InputLink(msgspec.Struct, frozen=True):
    source_type: _Input
    source_id: str
    destination_type: _Input
    destination_id: str
    tags: dict[str, str]


class _OutputLink(msgspec.Struct, frozen=True):
    source_type: _Output
    source_id: str
    destination_type: _Output
    destination_id: str
    tags: dict[str, str]
    step: int


class _Dataset(msgspec.Struct, frozen=True):
    name: str
    digest: str
    source_type: str
    source: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """The links of the runs of one experiment, whose datasets are described in a folder of their own."""

    datasets: Path
    _known: dict[str, str] = field(default_factory=dict)

    def of(self, folder: Path, tell: Callable[[str], None]) -> Tree:
        """Return the links in ``folder``, without those that MLflow cannot read; ``tell`` hears of these."""
        changed: dict[str, Tree | None] = {}
        try:
            names = list(inside(folder))
        except BadMetaError as error:
            tell(f"{folder.name} {error}")
            return {}
        for name in names:
            if name.startswith("."):
                changed[name] = None
            elif problem := self._problem(folder / name):
                changed[name] = None
                tell(f"{folder.name}/{name} {problem}")
        return pruned(folder, names, changed)

    def _problem(self, folder: Path) -> str:
        try:
            link = _link(folder)
        except BadMetaError as error:
            return str(error)
        except msgspec.ValidationError:
            return "is no link of a run"
        return self._dataset(link.source_id) if link.source_type == "DATASET" else ""

    def _dataset(self, dataset_id: str) -> str:
        if dataset_id not in self._known:
            self._known[dataset_id] = ""
            try:
                msgspec.convert(fields(self.datasets / dataset_id), _Dataset)
            except (BadMetaError, msgspec.ValidationError) as error:
                self._known[dataset_id] = f"names dataset {dataset_id}, whose folder is none ({error})"
        return self._known[dataset_id]


def _link(folder: Path) -> _InputLink | _OutputLink:
    if folder.parent.name == "outputs":
        return msgspec.convert(fields(folder), _OutputLink)
    return msgspec.convert(fields(folder), _InputLink)
