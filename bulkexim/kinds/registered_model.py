"""Registered models: their name is theirs at both ends; aliases are set when every version is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import AlreadyExists, ObjectError
from bulkexim.ids import IDENTITY_TAG, MARKER_TAG, DestinationId, MadeFrom, SourceId, marker
from bulkexim.kinds.base import Draft, Estimate, Filled, Kind, Placed, Recovered, Remnant
from bulkexim.kinds.scope import Pair, chosen, renamed
from bulkexim.kinds.version_values import GAP_TAG, NUMBER_LOST, NUMBER_TAKEN, versions_of
from bulkexim.kinds.wire import (
    Tag,
    as_dicts,
    content_digest,
    earlier_digest,
    gone,
    gone_tags,
    key_list,
    marks,
    provenance,
    provenance_of,
    tag_value,
    users_tags,
)
from bulkexim.ledger.schema import Row

PAGE = 1000
SOURCE_TAG = "bulkexim.source.name"
ALIAS = "alias:"


class Alias(msgspec.Struct, frozen=True):
    """A name for one version of a model."""

    alias: str
    version: str


class RegisteredModel(msgspec.Struct, frozen=True):
    """``registered-models/search``; times are in milliseconds since the epoch."""

    name: str
    description: str = ""
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    tags: tuple[Tag, ...] = ()
    aliases: tuple[Alias, ...] = ()


class _Page(msgspec.Struct, frozen=True):
    registered_models: tuple[RegisteredModel, ...] = ()
    next_page_token: str | None = None


class _One(msgspec.Struct, frozen=True):
    registered_model: RegisteredModel


async def registered_models(
    server: Server, query: str = "", page: int = PAGE
) -> AsyncIterator[Sequence[RegisteredModel]]:
    """Yield registered models by name; prompts, which live in the same table, are left out by the server."""
    params: list[tuple[str, str | int]] = [("max_results", page), ("order_by", "name ASC")]
    if query:
        params.append(("filter", query))
    async for found in server.list("registered-models/search", params, _Page, lambda reply: reply.next_page_token):
        yield found.registered_models


async def named_model(server: Server, name: str) -> RegisteredModel:
    """Return the registered model of a name (``registered-models/get``)."""
    return (await server.get("registered-models/get", _One, {"name": name})).registered_model


class RegisteredModelKind(Kind[RegisteredModel, RegisteredModel]):
    """The selected registered models."""

    name: ClassVar[str] = "registered_model"
    container: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]] = ("creation and update time",)

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        #: Models that this process created, so that nobody need ask for their versions.
        self.born: set[str] = set()

    async def pages(self) -> AsyncIterator[Sequence[RegisteredModel]]:
        patterns = self._pair.settings.models
        async for page in registered_models(self._pair.source):
            yield [model for model in page if chosen(patterns, model.name)]

    def made_from(self, value: RegisteredModel) -> MadeFrom:
        return made_from(value)

    async def drafts(self, values: Sequence[RegisteredModel], *, final: bool) -> Sequence[Draft[RegisteredModel]]:
        del final
        return [self._draft(value) for value in values]

    def _draft(self, value: RegisteredModel) -> Draft[RegisteredModel]:
        tags = users_tags(value.tags)
        name = renamed(self._pair.settings.model_renames, value.name)
        aliases = sorted((alias.alias, alias.version) for alias in value.aliases)
        content = (name, value.description, tags, aliases)
        return Draft(
            id=SourceId(value.name),
            name=name,
            value=value,
            digest=content_digest(*content),
            earlier=partial(earlier_digest, *content),
            written=key_list([tag.key for tag in tags] + [ALIAS + alias for alias, _ in aliases]),
        )

    def _tags(self, draft: Draft[RegisteredModel], mark: str) -> list[Tag]:
        identity = Tag(IDENTITY_TAG, self._pair.source.identity)
        return [*users_tags(draft.value.tags), *kept_tags(draft.value), identity, *marks(mark, draft.digest)]

    async def find(self, draft: Draft[RegisteredModel], mark: str) -> Placed | None:
        query = f"tags.`{MARKER_TAG}` = '{mark}'"
        async for page in registered_models(self._pair.destination, query):
            for model in page:
                return Placed(DestinationId(model.name))
        return None

    async def create(self, draft: Draft[RegisteredModel], mark: str) -> Placed:
        # The name is unique, so a repeated create shows itself: this call may safely be sent twice.
        body = {
            "name": draft.name,
            "description": draft.value.description,
            "tags": as_dicts(self._tags(draft, mark)),
        }
        try:
            await self._pair.destination.send("POST", "registered-models/create", body)
            self.born.add(draft.name)
        except AlreadyExists as error:
            existing = await named_model(self._pair.destination, draft.name)
            if tag_value(existing.tags, MARKER_TAG) != mark:
                raise ObjectError(
                    "name taken",
                    f"The destination has a registered model {draft.name!r} that did not come from this source.",
                    "Give another name with --model-rename-file: version numbers could not be kept in that one.",
                ) from error
        return Placed(DestinationId(draft.name))

    async def fill(self, draft: Draft[RegisteredModel], row: Row, details: Any, *, fresh: bool) -> Filled:
        if fresh:
            return Filled()
        destination, name = self._pair.destination, row.dst_id
        existing = await named_model(destination, str(name))
        if existing.description != draft.value.description:
            body = {"name": name, "description": draft.value.description}
            await destination.send("PATCH", "registered-models/update", body)
        held = {(tag.key, tag.value) for tag in existing.tags}
        for tag in self._tags(draft, marker(self._pair.source.identity, self.name, draft.id)):
            if (tag.key, tag.value) not in held:
                await destination.send(
                    "POST", "registered-models/set-tag", {"name": name, "key": tag.key, "value": tag.value}
                )
        for key in gone_tags(row.written, draft.value.tags, existing.tags):
            await destination.remove("DELETE", "registered-models/delete-tag", {"name": name, "key": key})
        return Filled()

    async def seal(self, draft: Draft[RegisteredModel], row: Row) -> None:
        destination, name = self._pair.destination, row.dst_id
        for alias in draft.value.aliases:
            body = {"name": name, "alias": alias.alias, "version": alias.version}
            await destination.send("POST", "registered-models/alias", body)
        for key in gone(row.written, (ALIAS + alias.alias for alias in draft.value.aliases)):
            if key.startswith(ALIAS):
                body = {"name": name, "alias": key.removeprefix(ALIAS)}
                await destination.remove("DELETE", "registered-models/alias", body)

    async def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        async for page in registered_models(self._pair.destination, f"tags.`{MARKER_TAG}` LIKE '%'"):
            yield [
                Recovered(SourceId(src_id), model.name, DestinationId(model.name), "", "")
                for model in page
                if (src_id := tag_value(model.tags, SOURCE_TAG))
                and tag_value(model.tags, MARKER_TAG) == marker(self._pair.source.identity, self.name, src_id)
            ]

    async def remnants(self) -> AsyncIterator[Sequence[Remnant]]:
        """Yield models of which a version cannot get its number any more: they have to be made anew, whole."""
        failed = await self._pair.ledger.failed_for("model_version", (NUMBER_TAKEN, NUMBER_LOST))
        lost = {SourceId(src_id.rpartition("/")[0]) for src_id in failed}
        rows = await self._pair.ledger.rows(self.name, lost)
        detail = "a number of its versions is lost: to be removed whole and moved anew"
        yield [
            Remnant(row.dst_id, row.dst_id, detail)
            for row in rows.values()
            if row.dst_id is not None and await self._is_all_ours(row.dst_id)
        ]

    async def _is_all_ours(self, name: str) -> bool:
        versions = await versions_of(self._pair.destination, name)
        return all(tag_value(one.tags, MARKER_TAG) or tag_value(one.tags, GAP_TAG) for one in versions)

    async def discard(self, dst_id: DestinationId) -> None:
        if not await self._is_all_ours(dst_id):
            raise ObjectError("not removable", f"Somebody registered versions of {dst_id!r} meanwhile.", "Look at it.")
        versions = [DestinationId(one.id) for one in await versions_of(self._pair.destination, dst_id)]
        await self._pair.destination.remove("DELETE", "registered-models/delete", {"name": dst_id})
        await self._pair.ledger.vanished("model_version", *versions)

    async def estimate(self, drafts: Sequence[Draft[RegisteredModel]]) -> Estimate:
        return Estimate(0, sum(1 + len(draft.value.aliases) for draft in drafts))


def made_from(value: RegisteredModel) -> MadeFrom:
    """Return what the tags of a model say of the one from which a migration made it."""
    return provenance_of(value.tags, SOURCE_TAG, created="bulkexim.source.creation_timestamp")


def kept_tags(value: RegisteredModel) -> list[Tag]:
    """Return the tags that keep what MLflow's API cannot set."""
    kept = {
        "name": value.name,
        "creation_timestamp": value.creation_timestamp,
        "last_updated_timestamp": value.last_updated_timestamp,
    }
    return provenance(kept)
