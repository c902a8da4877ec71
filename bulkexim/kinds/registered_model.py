"""Registered models: their name is theirs at both ends; aliases are set when every version is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from posixpath import normpath
from typing import Any, ClassVar

import msgspec

from bulkexim.ends.capabilities import Nothing
from bulkexim.ends.server import Server
from bulkexim.errors import NotFound, ObjectError, Refused
from bulkexim.ids import IDENTITY_TAG, MARKER_TAG, PREFIX, DestinationId, MadeFrom, SourceId, marker
from bulkexim.kinds.base import Draft, Estimate, Filled, Kind, Placed, Recovered, Remark, Remnant
from bulkexim.kinds.case import Case, alike
from bulkexim.kinds.columns import (
    DESCRIPTION,
    MODEL_NAME,
    MODEL_TAG,
    Form,
    Text,
    copies,
    cut,
    lengths,
    missing,
    told,
    unfit,
    unfit_tags,
    whole_or_cut,
    whole_tag,
)
from bulkexim.kinds.naming import check_exact, under_a_name
from bulkexim.kinds.scope import Pair, chosen, renamed
from bulkexim.kinds.sizes import create, set_each
from bulkexim.kinds.version_values import GAP_TAG, NUMBER_LOST, NUMBER_TAKEN, versions_of
from bulkexim.kinds.wire import (
    Tag,
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
from bulkexim.left_behind import Cause, LeftBehind

PAGE = 1000
SOURCE_TAG = "bulkexim.source.name"
ALIAS = "alias:"
#: Since then no alias may be called "latest".
LATEST_IS_RESERVED = (3, 3)
RENAME_FLAG = "--model-rename-file"
RENAME_REMEDY = f"Give it another name with {RENAME_FLAG}: MLflow 3 takes no '/', no ':' and no path such as '..'."
NOT_TAKEN = Remark("name that the destination does not take", f"it cannot be moved like this. {RENAME_REMEDY}")


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
    if not server.capabilities.registry:
        return
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
    named: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]] = ("creation and update time",)

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        #: Characters of a tag that the destination takes, if its database does.
        self._longest = lengths(pair.destination.capabilities).model_tag
        self._names: dict[str, bool] = {}
        self._case = Case(pair.destination)
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
        drafts = [self._draft(value) for value in values]
        refused = {draft.name for draft in drafts if _questionable(draft.name) and not await self._takes(draft.name)}
        return [
            replace(
                draft,
                remarks=(*draft.remarks, NOT_TAKEN) if draft.name in refused else draft.remarks,
                left=tuple(
                    LeftBehind(Cause.LINK, f"alias {alias!r}: {why}; a tag keeps the version to which it belongs")
                    for alias, why in (await self._lost_aliases(draft.value)).items()
                ),
            )
            for draft in drafts
        ]

    async def _lost_aliases(self, value: RegisteredModel) -> dict[str, str]:
        """Return the aliases that cannot be set at the destination, and why."""
        names = [alias.alias for alias in value.aliases]
        lost: dict[str, str] = {}
        if self._pair.destination.capabilities.version >= LATEST_IS_RESERVED:
            lost |= {name: "MLflow keeps this one for itself" for name in names if name.lower() == "latest"}
        while pair := alike(name for name in names if name not in lost):
            if await self._case.told_apart():
                break
            lost[pair[1]] = f"for the destination it is one with {pair[0]!r}"
        return lost

    async def _takes(self, name: str) -> bool:
        """Return whether the destination takes a name that some releases of MLflow do not; each is asked for once."""
        if name not in self._names:
            try:
                await named_model(self._pair.destination, name)
            except NotFound:
                self._names[name] = True
            except Refused:
                self._names[name] = False
            else:
                self._names[name] = True
        return self._names[name]

    def _draft(self, value: RegisteredModel) -> Draft[RegisteredModel]:
        tags, texts = users_tags(value.tags), self._texts(value)
        name = renamed(self._pair.settings.model_renames, value.name)
        aliases = sorted((alias.alias, alias.version) for alias in value.aliases)
        content = (name, value.description, tags, aliases)
        return Draft(
            id=SourceId(value.name),
            name=name,
            value=value,
            digest=content_digest(*content),
            earlier=partial(earlier_digest, *content),
            remarks=tuple(told(texts)),
            written=key_list(
                [tag.key for tag in (*tags, *copies(texts, MODEL_TAG))] + [ALIAS + alias for alias, _ in aliases]
            ),
        )

    def _texts(self, value: RegisteredModel) -> list[Text]:
        name = renamed(self._pair.settings.model_renames, value.name)
        fields = Text("name", name, MODEL_NAME), Text("description", value.description, DESCRIPTION)
        return [*unfit(*fields), *unfit_tags([*users_tags(value.tags), *kept_tags(value)], MODEL_TAG)]

    def _tags(self, draft: Draft[RegisteredModel], mark: str) -> list[Tag]:
        identity = Tag(IDENTITY_TAG, self._pair.source.identity)
        tags = [*users_tags(draft.value.tags), *kept_tags(draft.value)]
        # A longer one is refused whatever the database.
        short = (Tag(tag.key, tag.value[: self._longest]) for tag in tags)
        return [*short, *copies(self._texts(draft.value), MODEL_TAG), identity, *marks(mark, draft.digest)]

    async def find(self, draft: Draft[RegisteredModel], mark: str) -> Placed | None:
        query = f"tags.`{MARKER_TAG}` = '{mark}'"
        async for page in registered_models(self._pair.destination, query):
            for model in page:
                return Placed(DestinationId(model.name))
        return None

    async def create(self, draft: Draft[RegisteredModel], mark: str) -> Placed:
        # The name is unique, so a repeated create shows itself: this call may safely be sent twice.
        tags, texts = self._tags(draft, mark), self._texts(draft.value)
        await self._case.check("tags", (tag.key for tag in tags))
        whole = True

        async def post(name: str, form: Form) -> RegisteredModel:
            nonlocal whole
            body = {"name": name, "description": form.text(draft.value.description, DESCRIPTION)}
            sent, path = form.tags(tags, MODEL_TAG), "registered-models/create"
            bare = form is Form.CUT or not texts
            _, whole = await create(self._pair.destination, path, body, Nothing, tags=sent, bare=bare)
            self.born.add(name)
            return RegisteredModel(name)

        def ours(found: RegisteredModel) -> bool:
            return tag_value(found.tags, MARKER_TAG) == mark

        if _questionable(draft.name) and not await self._takes(draft.name):
            raise _not_taken(draft.name)
        made, existed = await under_a_name(
            draft.name, MODEL_NAME, post, partial(named_model, self._pair.destination), cuttable=bool(texts), ours=ours
        )
        if existed and not ours(made):
            check_exact("registered model", draft.name, made.name, RENAME_FLAG)
            raise _name_taken(draft, made)
        return Placed(DestinationId(made.name), whole=existed or whole)

    async def foreseen(self, drafts: Sequence[Draft[RegisteredModel]]) -> Mapping[SourceId, ObjectError]:
        wanted = {draft.name: draft for draft in drafts}
        found: dict[SourceId, ObjectError] = {
            draft.id: _not_taken(draft.name)
            for draft in drafts
            if _questionable(draft.name) and not await self._takes(draft.name)
        }
        identity = self._pair.source.identity
        async for page in registered_models(self._pair.destination):
            for existing in page:
                draft = wanted.get(existing.name)
                if draft and tag_value(existing.tags, MARKER_TAG) != marker(identity, self.name, draft.id):
                    found[draft.id] = _name_taken(draft, existing)
        return found

    async def fill(self, draft: Draft[RegisteredModel], row: Row, details: Any, *, fresh: bool) -> Filled:
        if fresh:
            return Filled()
        destination, name = self._pair.destination, row.dst_id
        existing = await named_model(destination, str(name))
        description = draft.value.description
        tags = self._tags(draft, marker(self._pair.source.identity, self.name, draft.id))

        async def describe(form: Form) -> None:
            body = {"name": name, "description": form.text(description, DESCRIPTION)}
            await destination.send("PATCH", "registered-models/update", body)

        async def set_tag(tag: Tag) -> None:
            body = {"name": name, "key": tag.key, "value": tag.value}
            await destination.send("POST", "registered-models/set-tag", body)

        if existing.description not in (description, cut(description, DESCRIPTION)):
            await whole_or_cut(describe, cuttable=True)
        left = await set_each(missing(tags, existing.tags, MODEL_TAG), set_tag, MODEL_TAG)
        for key in gone_tags(row.written, tags, existing.tags):
            await destination.remove("DELETE", "registered-models/delete-tag", {"name": name, "key": key})
        return Filled(left=tuple(left))

    async def seal(self, draft: Draft[RegisteredModel], row: Row) -> None:
        destination, name = self._pair.destination, row.dst_id
        lost = await self._lost_aliases(draft.value)
        refusals: list[Refused] = []
        for alias in draft.value.aliases:
            try:
                await self._point(name, alias, kept=alias.alias in lost)
            except Refused as error:
                refusals.append(error)
        for key in gone(row.written, (ALIAS + alias.alias for alias in draft.value.aliases)):
            if key.startswith(ALIAS):
                body = {"name": name, "alias": key.removeprefix(ALIAS)}
                await destination.remove("DELETE", "registered-models/alias", body)
        if refusals:
            raise refusals[0]

    async def _point(self, name: str | None, alias: Alias, *, kept: bool) -> None:
        """Set an alias, or the tag by which it is ``kept``."""
        if kept:
            key = f"{PREFIX}source.alias.{alias.alias}"
            path, body = "registered-models/set-tag", {"key": key, "value": alias.version}
        else:
            path, body = "registered-models/alias", {"alias": alias.alias, "version": alias.version}
        await self._pair.destination.send("POST", path, {"name": name} | body)

    async def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        async for page in registered_models(self._pair.destination, f"tags.`{MARKER_TAG}` LIKE '%'"):
            yield [
                Recovered(SourceId(src_id), model.name, DestinationId(model.name), "", "")
                for model in page
                if (src_id := whole_tag(model.tags, SOURCE_TAG))
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


def _not_taken(name: str) -> ObjectError:
    return ObjectError("name not taken", f"The destination takes no registered model called {name!r}.", RENAME_REMEDY)


def _name_taken(draft: Draft[RegisteredModel], existing: RegisteredModel) -> ObjectError:
    made = made_from(existing)
    if (made.src_id, made.created) == (draft.id, str(draft.value.creation_timestamp)):
        name = made.named(RegisteredModelKind.name)
        return ObjectError(
            "moved under another name",
            f"The destination has {draft.name!r} from this same source, moved under {name or 'another address of it'}.",
            f"Add --source-id {name or 'with that address'}.",
        )
    return ObjectError(
        "name taken",
        f"The destination has a registered model {draft.name!r} that did not come from this source.",
        f"Give another name with {RENAME_FLAG}: version numbers could not be kept in that one.",
    )


def made_from(value: RegisteredModel) -> MadeFrom:
    """Return what the tags of a model say of the one from which a migration made it."""
    return provenance_of(value.tags, SOURCE_TAG, created="bulkexim.source.creation_timestamp")


def _questionable(name: str) -> bool:
    """Return whether some releases of MLflow do not take a name."""
    return "/" in name or ":" in name or not name.strip() or normpath(name) != name


def kept_tags(value: RegisteredModel) -> list[Tag]:
    """Return the tags that keep what MLflow's API cannot set."""
    kept = {
        "name": value.name,
        "creation_timestamp": value.creation_timestamp,
        "last_updated_timestamp": value.last_updated_timestamp,
    }
    return provenance(kept)
