"""The calls that fill a run at the destination, as few as its content allows."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bulkexim.ends.bodies import Declined, Item, fields
from bulkexim.ends.server import Server
from bulkexim.errors import RacingDuplicate, Refused
from bulkexim.http.retry import Repeat
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.columns import INPUT_TAG, INPUT_TAG_KEY, NUL, Form, Lengths, dataset_lengths, whole_or_cut
from bulkexim.kinds.history import Point, as_kept, history
from bulkexim.kinds.logged_model_values import get_logged_model
from bulkexim.kinds.sizes import refused
from bulkexim.kinds.wire import Tag, as_dicts
from bulkexim.ledger.queries import Link
from bulkexim.left_behind import Cause, LeftBehind

#: ``mlflow.utils.validation``: entries of one log-batch call in all, and params and tags among them.
BATCH = 1000
PARAMS = 100
TAGS = 100
LOG_BATCH = "runs/log-batch"
#: Points of one call that a run may have already, at a server that looks for them in parts (MLflow before 3.16).
KNOWN_POINTS = 100

Links = Mapping[tuple[str, int, int], Sequence[Link]]


class PointOfModel(Point, frozen=True, gc=False, kw_only=True):
    """A metric value of a logged model, on a dataset if it was measured on one."""

    model_id: DestinationId
    dataset_name: str | msgspec.UnsetType = msgspec.UNSET
    dataset_digest: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(slots=True)
class Batches:
    """Collects what a run holds and sends it in full log-batch calls."""

    destination: Server
    run_id: DestinationId
    longest: Lengths
    params: list[Tag]
    tags: list[Tag]
    metrics: list[Point] = field(default_factory=list)
    #: Points that the run had already, and that the server takes no second time, for another logged model.
    unlinked: list[PointOfModel] = field(default_factory=list)
    #: What the server takes in no body.
    declined: list[Declined] = field(default_factory=list)

    async def add(self, metrics: Sequence[Point]) -> None:
        """Take metric values and send every call that is full."""
        self.metrics += metrics
        while len(self.metrics) >= self._room():
            await self._send()

    async def finish(self) -> None:
        """Send the rest."""
        while self.metrics or self.params or self.tags:
            await self._send()

    def _room(self) -> int:
        return BATCH - min(len(self.params), PARAMS) - min(len(self.tags), TAGS)

    async def _send(self) -> None:
        room = self._room()
        params, tags, metrics = self.params[:PARAMS], self.tags[:TAGS], self.metrics[:room]
        items: list[Item] = [("params", row) for row in params]
        items += [("tags", row) for row in tags]
        items += [("metrics", point) for point in metrics]
        self.declined += await self.destination.bodies.sent(items, self._post)
        self.params, self.tags, self.metrics = self.params[PARAMS:], self.tags[TAGS:], self.metrics[room:]

    async def _post(self, items: Sequence[Item]) -> None:
        given = fields(items)
        params, tags = given.get("params", []), given.get("tags", [])

        async def post(form: Form) -> None:
            body = {
                "run_id": self.run_id,
                "params": form.tags(params, self.longest.param),
                "tags": form.tags(tags, self.longest.tag),
                "metrics": given.get("metrics"),
            }
            await self._log({key: value for key, value in body.items() if value})

        await whole_or_cut(post, cuttable=any(NUL in row.value for row in (*params, *tags)))

    async def _log(self, body: dict[str, Any]) -> None:
        if self.destination.capabilities.skips_known_points:
            await self.destination.send("POST", LOG_BATCH, body)
            return
        try:
            await self.destination.send("POST", LOG_BATCH, body, Repeat.TELLING)
        except RacingDuplicate:
            await self._log_unknown(body)

    async def _log_unknown(self, body: dict[str, Any]) -> None:
        """Write what a run does not have yet; points that it has are sent only to link them to their logged model."""
        points: Sequence[Point] = body.get("metrics", ())
        known = await self._known({point.key for point in points})
        new = [point for point in points if _identity(point) not in known]
        rest = {key: value for key, value in (body | {"metrics": new}).items() if value}
        await self.destination.send("POST", LOG_BATCH, rest)
        linked = [point for point in points if isinstance(point, PointOfModel) and _identity(point) in known]
        self.unlinked += [point for point in linked if point.value == "NaN"]
        sendable = [point for point in linked if point.value != "NaN"]
        for start in range(0, len(sendable), KNOWN_POINTS):
            some = {"run_id": self.run_id, "metrics": sendable[start : start + KNOWN_POINTS]}
            await self.destination.send("POST", LOG_BATCH, some)

    async def _known(self, keys: Iterable[str]) -> set[_Identity]:
        run_id = SourceId(self.run_id)
        return {
            _identity(point)
            for key in sorted(keys)
            async for page in history(self.destination, run_id, key)
            for point in page
        }


_Identity = tuple[str, int, int, float, bool]


def _identity(point: Point) -> _Identity:
    """Return what tells a metric point from the others of its run (the key of MLflow's table)."""
    return point.key, point.timestamp, point.step, as_kept(point.value), point.value == "NaN"


async def write_data(
    destination: Server,
    run_id: DestinationId,
    longest: Lengths,
    *,
    params: Sequence[Tag],
    tags: Sequence[Tag],
    points: AsyncIterator[Sequence[Point]],
    links: Sequence[Link],
    models: Mapping[SourceId, DestinationId],
) -> Sequence[LeftBehind]:
    """Write params, tags and the full metric history; points of logged models carry their model and dataset.

    Of a param that is longer than the server takes, what it takes is written. One point may belong to several models;
    the server takes it once in a call, so the others follow in later calls. Return the links that it does not take, and
    what is too large for it.
    """
    by_point: dict[tuple[str, int, int], list[Link]] = {}
    for link in links:
        if link.model_id in models:
            by_point.setdefault((link.key, link.timestamp, link.step), []).append(link)
    taken = [Tag(p.key, p.value[: longest.param]) if len(p.value) > longest.param else p for p in params]
    short = [tag for tag in tags if len(tag.value) <= longest.tag]
    batches = Batches(destination, run_id, longest, taken, short)
    later: list[list[Point]] = []
    linked: set[_Identity] = set()
    async for piece in points:
        now = []
        for point in piece:
            variants = [_of_model(point, link, models) for link in _links_of(point, by_point)] or [point]
            if point.value == "NaN" and isinstance(variants[0], PointOfModel):
                # A file store has the point of a logged model twice; a database takes a second NaN for another one.
                if _identity(point) in linked:
                    continue
                linked.add(_identity(point))
            now.append(variants[0])
            for round_number, variant in enumerate(variants[1:]):
                if round_number == len(later):
                    later.append([])
                later[round_number].append(variant)
        await batches.add(now)
    await batches.finish()
    for metrics in later:
        await batches.add(metrics)
        await batches.finish()
    unlinked = [await _unlinked(destination, run_id, point) for point in batches.unlinked]
    return [*refused(batches.declined), *(left for left in unlinked if left is not None)]


async def _unlinked(destination: Server, run_id: DestinationId, point: PointOfModel) -> LeftBehind | None:
    """Look whether a NaN that a run had already is among the metrics of its logged model."""
    with suppress(Refused):
        found = await get_logged_model(destination, point.model_id)
        at = (SourceId(run_id), point.key, point.timestamp, point.step)
        if at in {(one.run_id, one.key, one.timestamp, one.step) for one in found.data.metrics}:
            return None
    reason = "MLflow before 3.16 links a NaN to one logged model only"
    return LeftBehind(Cause.LINK, f"{point.key} at step {point.step} of logged model {point.model_id}: {reason}")


def _links_of(point: Point, by_point: Links) -> list[Link]:
    found = by_point.get((point.key, point.timestamp, point.step), ())
    # Several values may share key, time and step.
    return [link for link in found if as_kept(link.value) == as_kept(point.value)]


def _of_model(point: Point, link: Link, models: Mapping[SourceId, DestinationId]) -> Point:
    dataset = {"dataset_name": link.dataset_name, "dataset_digest": link.dataset_digest} if link.dataset_name else {}
    return PointOfModel(point.key, point.value, point.timestamp, point.step, model_id=models[link.model_id], **dataset)


_UNMOVED_INPUT = re.compile(r"input (\S+): this logged model was not moved")


def unmoved_input(model_id: SourceId) -> LeftBehind:
    """Return what to say of a logged model that a run read and that is not at the destination."""
    return LeftBehind(Cause.LINK, f"input {model_id}: this logged model was not moved")


def awaited_model(left: LeftBehind) -> SourceId | None:
    """Return the logged model that `unmoved_input` names, for it may come later."""
    named = _UNMOVED_INPUT.fullmatch(left.detail)
    return SourceId(named[1]) if named else None


async def write_inputs(
    destination: Server,
    run_id: DestinationId,
    longest: Lengths,
    datasets: Sequence[dict[str, Any]],
    models: Sequence[DestinationId],
    *,
    cuttable: bool,
) -> list[LeftBehind]:
    """Write dataset and model inputs; repeatable (``runs/log-inputs``). Return what is too large for the server.

    A dataset is not written in part: the server would never add the rest (it knows it by name and digest).
    """

    async def send(items: Sequence[Item]) -> None:
        async def post(form: Form) -> None:
            given = fields(items)
            body = {
                "run_id": run_id,
                "datasets": [_dataset(one, longest, form) for one in given.get("datasets", ())],
                "models": [{"model_id": model} for model in given.get("models", ())],
            }
            await destination.send("POST", "runs/log-inputs", {key: value for key, value in body.items() if value})

        await whole_or_cut(post, cuttable=cuttable)

    items: list[Item] = [("datasets", one) for one in datasets]
    items += [("models", model) for model in models]
    return refused(await destination.bodies.sent(items, send))


def _dataset(given: dict[str, Any], longest: Lengths, form: Form) -> dict[str, Any]:
    if form is Form.WHOLE:
        return given
    dataset = given.get("dataset", {})
    fields = {
        field: form.text(str(dataset[field]), limit) for field, limit in dataset_lengths(longest) if field in dataset
    }
    tags = [Tag(str(tag.get("key", "")), str(tag.get("value", ""))) for tag in given.get("tags", ())]
    return {"dataset": fields, "tags": as_dicts(form.tags(tags, INPUT_TAG, key_limit=INPUT_TAG_KEY))}


async def write_outputs(
    destination: Server, run_id: DestinationId, outputs: Sequence[tuple[DestinationId, int]]
) -> list[LeftBehind]:
    """Write model outputs; those of a call are written all or not at all (``runs/outputs``).

    Return those that are too large for the server.
    """

    async def send(items: Sequence[Item]) -> None:
        models = [{"model_id": model, "step": step} for _, (model, step) in items]
        with suppress(RacingDuplicate):  # An earlier call, whose reply was lost, wrote them.
            await destination.send("POST", "runs/outputs", {"run_id": run_id, "models": models}, Repeat.TELLING)

    return refused(await destination.bodies.sent([("models", output) for output in outputs], send))
