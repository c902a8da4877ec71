"""A folder of links to a file store.

MLflow's server adds folders that it misses to the root of a file store. So the server gets another root; below it, only
calls that write would change anything, and a source gets none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bulkexim.ends.local_store import ACCEPTED
from bulkexim.ends.replica import Replica
from bulkexim.errors import UsageError

#: What an experiment's folder holds apart from runs, logged models and traces.
_ATTRIBUTES = frozenset({"tags", "datasets"})


def files_replica(path: Path, folder: Path) -> Replica:
    """Make a root in ``folder`` that stands for the file store at ``path``.

    :raises UsageError: the folder is no file store
    """
    experiments = {meta.parent: known for meta in path.glob("*/meta.yaml") if (known := _experiment(meta))}
    if not experiments:
        raise UsageError(f"{path} is not a file store: it holds no experiment (such as 0/meta.yaml).", ACCEPTED)
    root = folder / "store"
    root.mkdir()
    for entry in path.iterdir():
        (root / entry.name).symlink_to(entry)
    roots = {str(known.get("artifact_location") or place) for place, known in experiments.items() if _is_filled(place)}
    return Replica(str(root), frozenset(roots))


def _experiment(meta: Path) -> dict[str, Any] | None:
    """Return what a file says of an experiment, or ``None`` if it is about something else."""
    import yaml  # noqa: PLC0415 - comes with MLflow, without which no store is served

    try:
        known = yaml.safe_load(meta.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{meta} cannot be read ({reason}).", "Mend or remove it in a copy of the store.") from error
    is_experiment = isinstance(known, dict) and "experiment_id" in known and not {"run_id", "run_uuid"} & known.keys()
    return known if is_experiment else None


def _is_filled(experiment: Path) -> bool:
    return any(entry.is_dir() and entry.name not in _ATTRIBUTES for entry in experiment.iterdir())
