"""Where the files of two versions are: what their sources point to, and the runs that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from bulkexim.errors import CallError
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import Compared
from bulkexim.kinds.compare.cut import whole
from bulkexim.kinds.compare.pointing import Pointed, pointed
from bulkexim.kinds.compare.records import Version
from bulkexim.kinds.compare.tags import KEPT

#: Source of a version whose own leads nowhere: every destination takes it.
NOWHERE = "s3://bulkexim/gone"


#: Versions in a row that point to one another, after which nobody follows them any further.
LONGEST_CHAIN = 20


class _Files(msgspec.Struct, frozen=True):
    artifact_uri: str = ""


class VersionSources(NamedTuple):
    """Compares the sources and the runs of two versions; ``tags`` are those of the one at the destination."""

    ends: Compared

    async def sides(self, version: Version, found: Version, tags: Mapping[str, str]) -> tuple[str, str]:
        """Return what the source should be and what it is.

        That is the object to which it points; or the very text, if that object is not at the destination.
        """
        source = whole("source", found.source, tags)
        to = pointed(version.source)
        if to.kind == "elsewhere" and version.model_id:
            to = Pointed("logged_model", version.model_id)
        if to.kind == "reference":
            name, suffix = _parts(to.id)
            own = self.ends.partners.find("registered_model", name)
            if own and source == f"models:/{own}{suffix}":
                return source, source
            meant = await self._meant(name, suffix)
            here = self._there(Pointed("model_version", meant)) if meant else None
        else:
            here = self._there(to)
        missed = here is None or (to.kind == "reference" and here != pointed(source))
        files = ""
        if missed and to.kind in ("model_version", "reference") and source != version.source:
            # A version that was promoted from one that is gone may point to the files themselves.
            files = await self._files(version)
            here = self._there(pointed(files)) or here
        if here is not None:
            return str(here), str(pointed(source))
        is_lost = source == NOWHERE and tags.get(f"{KEPT}source") == version.source
        by_right = is_lost and not files and await self._leads_nowhere(to)
        return version.source, version.source if by_right else source

    async def runs(self, version: Version, found: Version, tags: Mapping[str, str]) -> tuple[str, str]:
        """Return the run that a version should have, and the one that it has.

        Where MLflow takes no run but that of what the source points to, it has that one, and a tag keeps its own.
        """
        expected = self.ends.partners.find("run", version.run_id) or version.run_id
        run = whole("run_id", found.run_id, tags)
        if run == expected or tags.get(f"{KEPT}run_id", "") != version.run_id:
            return expected, run
        given = await self._run_of(pointed(whole("source", found.source, tags)))
        # A run that is nowhere may not be taken at all.
        is_kept = run == given or (not run and expected == version.run_id)
        return expected, expected if is_kept else run

    def _there(self, to: Pointed) -> Pointed | None:
        partner = self.ends.partners.find(to.kind, to.id)
        return to._replace(id=partner) if partner else None

    async def _files(self, version: Version) -> str:
        """Return where the files are to which a version leads, over other versions too; nothing where nobody knows."""
        found: Version | None = version
        for _ in range(LONGEST_CHAIN):
            if found is None:
                break
            params = {"name": found.name, "version": found.version}
            try:
                uri = (await self.ends.source.get("model-versions/get-download-uri", _Files, params)).artifact_uri
            except CallError:
                uri = found.source
            to = pointed(uri)
            if to.kind not in ("model_version", "reference"):
                return uri
            found = await self._version(to.id if to.kind == "model_version" else await self._meant(*_parts(to.id)))
        return ""

    async def _version(self, version_id: str) -> Version | None:
        name, _, number = version_id.rpartition("/")
        return (await listings.versions_of(self.ends.source, name, [number])).get(number) if name else None

    async def _meant(self, name: str, suffix: str) -> str:
        """Return the version of the source that a stage, an alias or "latest" means at present, or nothing."""
        model = await listings.registered_model(self.ends.source, name)
        if model is None:
            return ""
        if suffix.startswith("@"):
            numbers = [one.version for one in model.aliases if one.alias == suffix[1:]]
            return f"{name}/{numbers[0]}" if numbers else ""
        found = await listings.versions_of(self.ends.source, name, ())
        stage = suffix.lstrip("/").lower()
        numbers = [one.version for one in found.values() if stage in ("latest", one.current_stage.lower())]
        return f"{name}/{max(numbers, key=int)}" if numbers else ""

    async def _leads_nowhere(self, to: Pointed) -> bool:
        """Return whether the source does not have what a version of it points to."""
        source = self.ends.source
        if to.kind == "run":
            return await listings.run(source, to.id) is None
        if to.kind == "logged_model":
            shown = source.capabilities.shows_deleted_logged_models
            return shown and await listings.logged_model(source, to.id) is None
        if to.kind == "reference":
            return not await self._meant(*_parts(to.id))
        if to.kind == "model_version":
            name, _, number = to.id.rpartition("/")
            return number not in await listings.versions_of(source, name, [number])
        return False

    async def _run_of(self, to: Pointed) -> str | None:
        """Return the run of something at the destination."""
        destination = self.ends.destination
        if to.kind == "run":
            return to.id
        if to.kind == "logged_model":
            model = await listings.logged_model(destination, to.id)
            return model.info.source_run_id if model else None
        if to.kind == "model_version":
            name, _, number = to.id.rpartition("/")
            version = (await listings.versions_of(destination, name, [number])).get(number)
            return version.run_id if version else None
        return None


def _parts(reference: str) -> tuple[str, str]:
    """Return the name of the model in a reference, and the rest with its separator."""
    name, sign, rest = reference.rpartition("/" if "/" in reference else "@")
    return (name, f"{sign}{rest}") if sign else (reference, "")
