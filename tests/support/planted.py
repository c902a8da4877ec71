"""Faults of the mover, planted while it moves and while both ends are compared: its own eyes would not see them."""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from bulkexim.artifacts import mlmodel, places, served_names, walking
from bulkexim.artifacts.owned import OfRun
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.two_ways import TwoWays
from bulkexim.ends.pages import Pages
from bulkexim.kinds import (
    columns,
    experiment,
    files,
    history,
    logged_model_values,
    model_version,
    order,
    registered_model,
    run_search,
    run_translation,
    run_values,
    scope,
    version_source,
    version_values,
    wire,
)
from bulkexim.ledger.queries import Queries
from tests.support.tenant import Tenant

Plant = Callable[[pytest.MonkeyPatch, Tenant], None]


@dataclass(frozen=True)
class Fault:
    """A fault; ``told`` are beginnings of lines, of which each must be told because of it."""

    name: str
    plant: Plant
    told: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return self.name


def everywhere(patch: pytest.MonkeyPatch, original: object, other: object) -> None:
    """Puts ``other`` in the place of a function in every module of ours that took it."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "bulkexim":
            for attribute, value in list(vars(module).items()):
                if value is original:
                    patch.setattr(module, attribute, other)


def _listing(original: Callable[..., AsyncIterator[Any]], keep: Callable[[Any], bool]) -> Plant:
    """A listing that leaves out what ``keep`` does not want; it yields pages, or single files."""

    def plant(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
        async def other(*args: Any, **options: Any) -> AsyncIterator[Any]:
            async for page in original(*args, **options):
                if isinstance(page, Sequence) and not hasattr(page, "_fields"):
                    yield [one for one in page if keep(one)]
                elif keep(page):
                    yield page

        everywhere(patch, original, other)

    return plant


def _calling(original: Callable[..., Any], change: Callable[[Any], Any]) -> Plant:
    """A function whose result is changed."""

    def plant(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
        everywhere(patch, original, lambda *args, **options: change(original(*args, **options)))

    return plant


def _awaiting(original: Callable[..., Any], change: Callable[[Any], Any]) -> Plant:
    """An asynchronous function whose result is changed."""

    def plant(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
        async def other(*args: Any, **options: Any) -> Any:
            return change(await original(*args, **options))

        everywhere(patch, original, other)

    return plant


def _method(owner: type, name: str, change: Callable[[Any], Any]) -> Plant:
    """An asynchronous method whose result is changed."""

    def plant(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
        original = getattr(owner, name)

        async def other(self: Any, *args: Any, **options: Any) -> Any:
            return change(await original(self, *args, **options))

        patch.setattr(owner, name, other)

    return plant


def _pages_without_their_last(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    async def short(pages: Any) -> AsyncIterator[Any]:
        async for page in original(pages):
            yield msgspec.structs.replace(
                page,
                **{
                    field: value[:-1]
                    for field in page.__struct_fields__
                    if isinstance(value := getattr(page, field), tuple)
                },
            )

    original = Pages.read
    patch.setattr(Pages, "read", short)


def _rows_without(kind: str, src_id: str) -> Plant:
    """A ledger that does not give the row of one object."""

    def plant(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
        original = Queries.rows

        async def rows(self: Queries, of: str, ids: Any) -> Any:
            found = await original(self, of, ids)
            return {known: row for known, row in found.items() if (of, known) != (kind, src_id)}

        patch.setattr(Queries, "rows", rows)

    return plant


def _without_team(tags: list[wire.Tag]) -> list[wire.Tag]:
    return [tag for tag in tags if tag.key != "team"]


def _of_other_run(**changes: Any) -> Callable[[Any], Any]:
    """Changes what a draft says of a run: fields of its info or of its data."""

    def change(draft: Any) -> Any:
        run = draft.value.run
        info = {key: value for key, value in changes.items() if key in run.info.__struct_fields__}
        data = {key: value for key, value in changes.items() if key in run.data.__struct_fields__}
        other = msgspec.structs.replace(
            run, info=msgspec.structs.replace(run.info, **info), data=msgspec.structs.replace(run.data, **data)
        )
        return replace(draft, value=replace(draft.value, run=other))

    return change


def _parentless(draft: Any) -> Any:
    return replace(draft, value=replace(draft.value, late_tags=()))


def _pathless(origins: dict[Any, Any]) -> dict[Any, Any]:
    def pathless(choice: version_source.Choice) -> version_source.Choice:
        return choice._replace(source=choice.source.removesuffix("/model"))

    return {src_id: replace(one, choices=tuple(map(pathless, one.choices))) for src_id, one in origins.items()}


def _halved(found: history.Histories) -> history.Histories:
    found.read.update({key: points[: len(points) // 2] for key, points in found.read.items()})
    return found


def _nothing_referenced(found: order.Referenced) -> order.Referenced:
    return replace(found, runs=[], models=[], experiments=frozenset())


def _third_unselected(found: order.Scope) -> order.Scope:
    return replace(found, selected=[one for one in found.selected if one.name != "third"])


def _no_version_of(name: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
        original = model_version.ModelVersionKind.pages

        async def pages(self: Any) -> AsyncIterator[Any]:
            async for page in original(self):
                yield [version for version in page if version.name != name]

        patch.setattr(model_version.ModelVersionKind, "pages", pages)

    return plant


def _not_called(name: str) -> Callable[[Any], bool]:
    return lambda entry: entry.path.rpartition("/")[2] != name


def _entries_without(name: str) -> Callable[[Any], Any]:
    return lambda entries: [entry for entry in entries if _not_called(name)(entry)]


def _nowhere(place: Any) -> Any:
    if isinstance(place, TwoWays) and isinstance(place.service, Proxied):
        place.service = replace(place.service, root=f"{place.service.root}/none")
    return place


def _elsewhere(to: version_values.Target) -> version_values.Target:
    return version_values.Target("elsewhere", to.id) if to.kind == "run" else to


def _not_chosen(patch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    original = scope.chosen

    def chosen(patterns: Any, *names: str) -> bool:
        return original(patterns, *names) and not {"third", "promoted"} & set(names)

    everywhere(patch, original, chosen)


PARENT, DELETED = "run parent differs", (("include_deleted", True),)
FAULTS = [
    Fault("walk", _listing(walking.walk, _not_called("deep.txt")), (f"{PARENT} artifacts / notes/deep.txt",)),
    Fault(
        "which names can be asked for",
        _calling(served_names.name_problem, lambda _: "nobody can ask for it"),
        (f"{PARENT} artifacts / top.txt", "logged_model net differs artifacts / MLmodel"),
    ),
    Fault(
        "what the artifact service lists",
        _method(Proxied, "entries", _entries_without("top.txt")),
        (f"{PARENT} artifacts / top.txt",),
    ),
    Fault(
        "what a run lists",
        _method(OfRun, "entries", _entries_without("own.txt")),
        ("run outside differs artifacts / own.txt",),
    ),
    Fault("where a root is", _calling(places.place, _nowhere), (f"{PARENT} artifacts / top.txt",)),
    Fault(
        "which runs have files",
        _method(files.RunFolders, "may_have_artifacts", lambda _: False),
        (f"{PARENT} artifacts / top.txt",),
    ),
    Fault(
        "MLmodel",
        _calling(mlmodel.rewritten, lambda content: content.replace(b"flavors", b"flavor")),
        ("logged_model net differs artifacts / MLmodel",),
    ),
    Fault(
        "users_tags",
        _calling(wire.users_tags, _without_team),
        (
            "experiment first differs tags / team",
            f"{PARENT} tags / team",
            "logged_model net differs tags / team",
            "registered_model net differs tags / team",
            "model_version net version 1 differs tags / team",
        ),
    ),
    Fault(
        "provenance",
        _calling(wire.provenance, lambda tags: [tag for tag in tags if not tag.key.endswith("source.status")]),
        ("model_version net version 3 differs tags / bulkexim.source.status",),
    ),
    Fault(
        "what is kept whole",
        _calling(columns.copies, lambda _: []),
        (f"{PARENT} tags / long", f"{PARENT} params / long"),
    ),
    Fault(
        "translated: params",
        _calling(run_translation.translated, _of_other_run(params=())),
        (f"{PARENT} params / depth",),
    ),
    Fault(
        "translated: times and user",
        _calling(run_translation.translated, _of_other_run(start_time=7, user_id="eve")),
        (f"{PARENT} start time", f"{PARENT} user"),
    ),
    Fault(
        "translated: state",
        _calling(run_translation.translated, _of_other_run(lifecycle_stage="active", status="FAILED")),
        ("run deleted differs lifecycle", f"{PARENT} status"),
        DELETED,
    ),
    Fault(
        "translated: parent",
        _calling(run_translation.translated, _parentless),
        ("run child differs tags / mlflow.parentRunId",),
    ),
    Fault(
        "own_ids",
        _calling(run_values.own_ids, lambda tag: wire.Tag(tag.key, "[]")),
        (f"{PARENT} tags / mlflow.log-model.history",),
    ),
    Fault("histories", _awaiting(history.histories, _halved), (f"{PARENT} metrics / loss",)),
    Fault(
        "history", _listing(history.history, lambda point: point.key != "accuracy"), (f"{PARENT} metrics / accuracy",)
    ),
    Fault(
        "Sources",
        _method(version_source.Sources, "of", _pathless),
        ("model_version net version 2 differs source",),
    ),
    Fault("target", _calling(version_values.target, _elsewhere), ("model_version net version 2 differs source",)),
    Fault("pages", _pages_without_their_last, ("run ", "model_version ")),
    Fault(
        "search of runs",
        _listing(run_search.search_runs, lambda one: one.info.run_name != "child"),
        ("run child missing",),
    ),
    Fault(
        "experiments",
        _listing(experiment.experiments, lambda one: one.name != "second"),
        ("experiment second missing", "run registered missing"),
    ),
    Fault(
        "logged models",
        _listing(logged_model_values.logged_models, lambda one: one.info.name != "net"),
        ("logged_model net missing",),
    ),
    Fault(
        "registered models",
        _listing(registered_model.registered_models, lambda one: one.name != "promoted"),
        ("registered_model promoted missing", "model_version promoted version 1 missing"),
    ),
    Fault(
        "versions",
        _listing(version_values.model_versions, lambda one: one.id != "net/3"),
        ("model_version net version 3 missing",),
    ),
    Fault("pages of versions", _no_version_of("promoted"), ("model_version promoted version 1 missing",)),
    Fault(
        "chosen", _not_chosen, ("experiment third missing", "run outside missing", "registered_model promoted missing")
    ),
    Fault(
        "resolve",
        _awaiting(order.resolve, _third_unselected),
        ("experiment third missing", "run outside missing"),
    ),
    Fault(
        "referenced",
        _awaiting(order._referenced, _nothing_referenced),
        ("experiment second missing", "run registered missing"),
        (("models", ("net",)),),
    ),
    Fault(
        "rows of the ledger",
        _rows_without("registered_model", "promoted"),
        ("model_version promoted version 1 missing",),
    ),
    Fault("renamed", _calling(scope.renamed, lambda name: f"{name}x"), ("experiment first differs name",)),
]
