"""What the source means by a version: one that is named by its stage, its alias, or as the latest of its model."""

from __future__ import annotations

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import Refused
from bulkexim.ids import SourceId
from bulkexim.kinds.registered_model import named_model
from bulkexim.kinds.version_values import ModelVersion, Target, target, versions_of

#: Versions in a row that point to one another, after which nobody follows them any further.
MOST_STEPS = 20


class _DownloadUri(msgspec.Struct, frozen=True):
    artifact_uri: str = ""


class References:
    """Asks the source once for each."""

    def __init__(self, source: Server) -> None:
        self._source = source
        self._meant: dict[Target, SourceId | None] = {}

    async def meant(self, to: Target) -> SourceId | None:
        """Return the version to which a source points at present (``mlflow.store.artifact.utils.models``).

        :raises CallError: the source cannot be asked
        """
        if to.kind == "model_version":
            return to.id if await self._version(to.id) else None
        if to not in self._meant:
            self._meant[to] = await self._look(to.id, to.path)
        return self._meant[to]

    async def place(self, version: ModelVersion) -> str:
        """Return where the files of a version are that points to another one; nothing where nobody knows.

        :raises CallError: the source cannot be asked
        """
        found: ModelVersion | None = version
        for _ in range(MOST_STEPS):
            if found is None:
                return ""
            params = {"name": found.name, "version": found.version}
            try:
                uri = (await self._source.get("model-versions/get-download-uri", _DownloadUri, params)).artifact_uri
            except Refused:
                uri = ""
            # Older servers give the source itself.
            to = target(uri or found.source)
            if to.kind not in ("model_version", "registered_model"):
                return uri
            meant = await self.meant(to)
            found = await self._version(meant) if meant else None
        return ""

    async def _version(self, src_id: SourceId) -> ModelVersion | None:
        name, _, number = src_id.rpartition("/")
        return next((one for one in await self._versions(name) if one.version == number), None)

    async def _versions(self, name: str) -> list[ModelVersion]:
        return await versions_of(self._source, name)

    async def _look(self, name: str, suffix: str) -> SourceId | None:
        if suffix.startswith("@"):
            try:
                model = await named_model(self._source, name)
            except Refused:
                return None
            number = {alias.alias: alias.version for alias in model.aliases}.get(suffix[1:])
            return SourceId(f"{name}/{number}") if number else None
        stage = suffix.removeprefix("/").lower()
        fitting = [one for one in await self._versions(name) if stage in ("latest", one.current_stage.lower())]
        return fitting[-1].id if fitting else None
