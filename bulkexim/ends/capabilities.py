"""What a server can do, and how that is found out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from bulkexim.errors import CallError, FatalError
from bulkexim.http.client import Client

Version = tuple[int, int]

#: Characters of a version that sentences repeat.
VERSION_SHOWN = 40


class ServerInfo(msgspec.Struct, frozen=True):
    """``GET /api/3.0/mlflow/server-info`` (MLflow 3.10 and later)."""

    store_type: str | None = None
    workspaces_enabled: bool = False
    multipart_uploads_enabled: bool = False
    multipart_downloads_enabled: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do, by its version (the first MLflow that has each part was read from released packages)."""

    version: Version
    text: str
    file_store: bool = False
    workspaces: bool = False
    #: It signs addresses of its storage, to write there in parts and to read there.
    signs_uploads: bool = False
    signs_downloads: bool = False

    @property
    def logged_models(self) -> bool:
        """Whether logged models, run outputs and links between metrics and models exist."""
        return self.version >= (3, 0)

    @property
    def searches_outputs(self) -> bool:
        """Whether a search of runs shows the logged models that they wrote."""
        return self.version >= (3, 6)

    @property
    def paged_history(self) -> bool:
        """Whether a metric history comes in pages."""
        return self.version >= (3, 1) and not self.file_store

    @property
    def bulk_history(self) -> bool:
        """Whether one call brings the histories of a hundred runs (of twenty, before)."""
        return self.version >= (2, 22) and not self.file_store

    @property
    def removes_experiment_tags(self) -> bool:
        """Whether a tag of an experiment can be removed."""
        return self.version >= (3, 2)

    @property
    def traces(self) -> bool:
        """Whether traces can be searched by the third version of their API."""
        return self.version >= (3, 2)

    @property
    def names_any_file(self) -> bool:
        """Whether the artifact service can send a file of any name (before, the name went into a Latin-1 header)."""
        return self.version >= (3, 15)

    @property
    def attaches_files(self) -> bool:
        """Whether every file of a run, a model or the artifact service is sent as an attachment (a web page is not)."""
        return self.version >= (2, 3)

    @property
    def streams_uploads(self) -> bool:
        """Whether an upload may take its time (gunicorn, the server before 3.3, kills a request after 30 s)."""
        return self.version >= (3, 3)


async def detected(client: Client) -> Capabilities:
    """Ask a server what it can do.

    :raises CallError: it declines, or keeps failing
    :raises FatalError: it does not say which version it has
    """
    text, info = await _version(client), await _info(client)
    return Capabilities(
        version=_parsed(text, client.name),
        text=text[:VERSION_SHOWN],
        file_store=info.store_type == "FileStore",
        workspaces=info.workspaces_enabled,
        signs_uploads=info.multipart_uploads_enabled,
        signs_downloads=info.multipart_downloads_enabled,
    )


async def _version(client: Client) -> str:
    request = client.http.build_request("GET", "version")

    async def send() -> str:
        response = await client.exchange(request)
        return response.text.strip()

    return await client.insist(send, f"{client.name} GET version")


async def _info(client: Client) -> ServerInfo:
    try:
        return await client.call("GET", "api/3.0/mlflow/server-info", ServerInfo)
    except CallError as error:
        if error.definite:
            return ServerInfo()
        raise


def _parsed(text: str, name: str) -> Version:
    found = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", text)
    if found is None:
        raise FatalError(
            f"The {name} does not say which MLflow it is (its /version is not a number).", "Check the address."
        )
    return int(found[1]), int(found[2])
