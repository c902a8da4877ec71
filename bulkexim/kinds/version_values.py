"""Model versions as MLflow sends them, and what their sources point to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, NamedTuple

import msgspec

from bulkexim.ends.server import Server
from bulkexim.ids import MARKER_TAG, SourceId, marker
from bulkexim.kinds.columns import whole_tag
from bulkexim.kinds.wire import Tag, tag_value

PAGE = 1000
GAP_TAG = "bulkexim.gap"
SOURCE_TAG = "bulkexim.source.version"
MODEL_TAG = "bulkexim.source.name"
#: Causes of failures after which a number is lost for good: MLflow never gives one twice, not even a deleted one.
NUMBER_TAKEN, NUMBER_LOST = "version number taken", "version number not kept"


class ModelVersion(msgspec.Struct, frozen=True):
    """``model-versions/search``; times are in milliseconds since the epoch."""

    name: str
    version: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,9}$")]
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    user_id: str = ""
    current_stage: str = "None"
    description: str = ""
    source: str = ""
    run_id: SourceId = SourceId("")
    run_link: str = ""
    status: str = "READY"
    status_message: str = ""
    model_id: SourceId = SourceId("")
    tags: tuple[Tag, ...] = ()

    @property
    def number(self) -> int:
        """The version as a number: as text, 10 would come before 2."""
        return int(self.version)

    @property
    def id(self) -> SourceId:
        """Name and number; a name holds no slash."""
        return SourceId(f"{self.name}/{self.version}")


class _Page(msgspec.Struct, frozen=True):
    model_versions: tuple[ModelVersion, ...] = ()
    next_page_token: str | None = None


async def model_versions(server: Server, query: str = "", page: int = PAGE) -> AsyncIterator[Sequence[ModelVersion]]:
    """Yield versions by model and number; those of prompts are left out by the server.

    MLflow before 2.2 gives all of them at once, the last changed first, whatever it was asked for; so each page is put
    in order here. A later server goes from page to page in the order of numbers, and that stays.
    """
    if not server.capabilities.registry:
        return
    params: list[tuple[str, str | int]] = [("max_results", page), ("order_by", "name ASC")]
    params += [("order_by", "version_number ASC")]
    if query:
        params.append(("filter", query))
    async for found in server.list("model-versions/search", params, _Page, lambda reply: reply.next_page_token):
        yield sorted(found.model_versions, key=lambda version: (version.name, version.number))


async def versions_by_page(server: Server, name: str, page: int = PAGE) -> AsyncIterator[Sequence[ModelVersion]]:
    """Yield the versions of one model, lowest number first."""
    # A filter cannot escape a quote, nor PostgreSQL's LIKE take a backslash: there, any character will do.
    pattern = re.sub(r"['\"\\]", "_", name)
    query = f"name = '{name}'" if pattern == name else f"name LIKE '{pattern}'"
    async for found in model_versions(server, query, page):
        yield [version for version in found if version.name == name]


async def versions_of(server: Server, name: str) -> list[ModelVersion]:
    """Return the versions of one model, lowest number first."""
    found = [version async for page in versions_by_page(server, name) for version in page]
    return sorted(found, key=lambda version: version.number)


def came_from(version: ModelVersion, identity: str) -> SourceId | None:
    """Return from which version of a source one of the destination came, by its tags and its marker."""
    src_id = SourceId(f"{whole_tag(version.tags, MODEL_TAG)}/{tag_value(version.tags, SOURCE_TAG)}")
    return src_id if tag_value(version.tags, MARKER_TAG) == marker(identity, "model_version", src_id) else None


class Target(NamedTuple):
    """What a source points to: an object of the source (``run``, ``logged_model``, ``model_version``) and a path in it.

    ``kind`` is ``registered_model`` for a version that is named by its stage, its alias, or as the latest one; the path
    is what follows the name of the model then (``/Production``, ``@champion``, ``/latest``). It is ``elsewhere`` for
    storage that belongs to none of them.
    """

    kind: str
    id: SourceId
    path: str = ""


_IN_RUN = re.compile(r"/([0-9a-f]{32})/artifacts(?:/(.*))?$")
_IN_MODEL = re.compile(r"/models/(m-[0-9a-f]{32})/artifacts(?:/(.*))?$")


def target(source: str) -> Target:
    """Return what the source of a version points to (``mlflow.store.artifact`` names the schemes)."""
    if source.startswith("runs:/"):
        run_id, _, path = source.removeprefix("runs:/").partition("/")
        return Target("run", SourceId(run_id), path)
    if source.startswith("models:/"):
        return _in_registry(source.removeprefix("models:/").strip("/"))
    if found := _IN_MODEL.search(source):
        return Target("logged_model", SourceId(found[1]), found[2] or "")
    if found := _IN_RUN.search(source):
        return Target("run", SourceId(found[1]), found[2] or "")
    return Target("elsewhere", SourceId(source))


def _in_registry(name: str) -> Target:
    """Return what follows ``models:/``, as ``mlflow.store.artifact.utils.models`` reads it."""
    if found := re.fullmatch(r"(m-[0-9a-f]{32})(?:/(.*))?", name):
        return Target("logged_model", SourceId(found[1]), found[2] or "")
    model, slash, last = name.rpartition("/")
    if re.fullmatch("[0-9]+", last) and model:
        return Target("model_version", SourceId(name))
    if not slash:
        model, slash, last = name.rpartition("@")
    return Target("registered_model", SourceId(model or name), f"{slash}{last}" if model else "")
