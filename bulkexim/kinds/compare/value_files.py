"""Values in the folders of a file store: each that has a file there must be among those that its server shows.

The mover has the store served from a folder of links that it makes, without what MLflow cannot read. What should be
missing there by mistake is missing for whoever asks that server, so the folders themselves are looked at here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from anyio import to_thread

from bulkexim.ends.server import Server
from bulkexim.kinds.compare.difference import Difference
from bulkexim.kinds.compare.records import (
    Experiment,
    LoggedModel,
    ModelMetric,
    Point,
    RegisteredModel,
    Run,
    Tag,
    Version,
)

#: Where MLflow puts experiments that are deleted.
TRASH = ".trash"
_NO_VALUES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_OF_A_MAC = "._"

#: Names of values by the folder that holds them.
Values = Mapping[str, AbstractSet[str]]


async def dropped_values(source: Server, value: Any) -> list[Difference]:
    """Return the values that have a file in the store of an object and that its server does not show.

    What the reading of the store named is told elsewhere. Of another source there is nothing to return.
    """
    store = source.local.store if source.local else None
    if store is None or (found := _shown(value)) is None:
        return []
    told = [one.why for one in source.unaccounted if one.where.removeprefix(f"{TRASH}/") == found[0]]
    names = await to_thread.run_sync(_dropped, store, *found)
    return [
        Difference(f"{folder} / {name}", "a file in the store", "nothing that MLflow shows")
        for folder, name in names
        if not any(why.startswith(f"{folder}/{name} ") for why in told)
    ]


def _shown(value: Any) -> tuple[str, Values] | None:
    """Return the folder of an object in its store, and the names of its values."""
    values: dict[str, Sequence[Tag | Point | ModelMetric]]
    match value:
        case Run(info=info, data=data):
            values = {"metrics": data.metrics, "params": data.params, "tags": data.tags}
            place = f"{info.experiment_id}/{info.run_id}"
        case LoggedModel(info=info, data=data):
            values = {"metrics": data.metrics, "params": data.params, "tags": info.tags}
            place = f"{info.experiment_id}/models/{info.model_id}"
        case Experiment(experiment_id=place, tags=tags):
            values = {"tags": tags}
        case RegisteredModel(name=name, tags=tags):
            values, place = {"tags": tags}, f"models/{name}"
        case Version(name=name, version=number, tags=tags):
            values, place = {"tags": tags}, f"models/{name}/version-{number}"
        case _:
            return None
    return place, {folder: {one.key for one in of_it} for folder, of_it in values.items()}


def _dropped(store: Path, place: str, shown: Values) -> list[tuple[str, str]]:
    homes = [home for home in (store / place, store / TRASH / place) if home.is_dir()]
    return sorted(
        (folder, name)
        for home in homes
        for folder, names in shown.items()
        for name in _files(home / folder)
        if name not in names
    )


def _files(folder: Path) -> Iterator[str]:
    """Yield the names of values as MLflow finds them: the paths of files, links to folders not followed."""
    for above, _, files in os.walk(folder):
        for file in files:
            if file not in _NO_VALUES and not file.startswith(_OF_A_MAC):
                path = os.path.relpath(os.path.join(above, file), folder)  # noqa: PTH118 - a name may be no text
                yield path.encode(errors="backslashreplace").decode()
