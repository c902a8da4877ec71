"""What lies in the folders of a local source and MLflow does not show, as far as it is part of a selection."""

from __future__ import annotations

from collections.abc import Iterator

from bulkexim.config import Settings
from bulkexim.ends.server import Server
from bulkexim.ends.unaccounted import Unaccounted
from bulkexim.kinds.scope import chosen
from bulkexim.left_behind import LeftBehind

_REGISTRY = ("registered_model", "model_version")

Hidden = dict[tuple[str, str], list[LeftBehind]]


def hidden(source: Server, settings: Settings) -> Hidden:
    """Return what MLflow does not show of objects that it does show, by their kind and id."""
    found: Hidden = {}
    for one in unaccounted(source, settings):
        if not one.whole:
            found.setdefault((one.kind, one.id), []).append(one.left)
    return found


def unaccounted(source: Server, settings: Settings) -> Iterator[Unaccounted]:
    """Yield what a selection would bring if MLflow showed it.

    A folder that says no more than its name is taken for what it may be: for a run of any time, for one that is not
    deleted unless it lies in the trash, and for a model, not a prompt.
    """
    for one in source.unaccounted:
        if one.deleted and not settings.include_deleted:
            continue
        if one.kind in _REGISTRY:
            selected = settings.moves_models and chosen(settings.models, one.name)
        else:
            names = filter(None, (one.name, one.experiment))
            selected = settings.moves_experiments and chosen(settings.experiments, *names)
        if selected and one.kind not in settings.without:
            yield one
