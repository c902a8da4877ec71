"""What a server can do, and how that is found out.

Most servers tell their version. MLflow before 2.1 does not, nor does a gateway that lets only the API through: then the
routes that a server has tell from which version on it is, and it is used as the oldest of those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from bulkexim.errors import CallError, FatalError, NoSuchEndpoint
from bulkexim.http.client import Client

Version = tuple[int, int]

#: Characters of a version that sentences repeat.
VERSION_SHOWN = 40
#: Runs of which ``get-history-bulk`` brings the histories in one call, since 2.11 and before.
BULK_RUNS, OLD_BULK_RUNS = 100, 20


#: How a server keeps what it knows, in the words of ``server-info``.
DATABASE, FILES = "SqlStore", "FileStore"
_NO_RUN = "0" * 32
_NO_HISTORY = {"run_id": _NO_RUN, "metric_key": "none"}


class Nothing(msgspec.Struct, frozen=True):
    """A reply of which nothing is needed."""


class ServerInfo(msgspec.Struct, frozen=True):
    """``GET /api/3.0/mlflow/server-info`` (MLflow 3.10 and later); the downloads are told since 3.15."""

    store_type: str | None = None
    workspaces_enabled: bool = False
    multipart_uploads_enabled: bool = False
    multipart_downloads_enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do, by its version (the first MLflow that has each part was read from released packages).

    ``text`` is the version in words. Where ``guessed``, the server did not tell it, and ``version`` is the oldest one
    that it can be.
    """

    version: Version
    text: str
    guessed: bool = False
    file_store: bool = False
    #: It has a registry of models: MLflow 1 on a file store has none.
    registry: bool = True
    workspaces: bool = False
    #: Experiments, runs and models are known to be in a database.
    database: bool = False
    #: It signs addresses of its storage, to write there in parts and to read there.
    signs_uploads: bool = False
    signs_downloads: bool = False
    #: Its artifact service takes the files of new objects; only a dry run asks, for a migration sees where they are.
    proxies_artifacts: bool = True

    @property
    def logged_models(self) -> bool:
        """Whether logged models, run outputs and links between metrics and models exist."""
        return self.version >= (3, 0)

    @property
    def shows_deleted_logged_models(self) -> bool:
        """Whether a deleted logged model can be asked for by its id."""
        return self.version >= (3, 7)

    @property
    def searches_outputs(self) -> bool:
        """Whether a search of runs shows the logged models that they wrote."""
        return self.version >= (3, 6)

    @property
    def paged_history(self) -> bool:
        """Whether to ask for a metric history in pages.

        MLflow before 3.1 gives it whole whatever it is asked. From 3.1 to 3.13 nothing comes without a size. A file
        store reads the whole history anew for each page, so it is asked for none as soon as it understands that.
        """
        return not (self.file_store and self.version >= (3, 14))

    @property
    def bulk_runs(self) -> int:
        """Of how many runs one call brings the histories."""
        if self.version < (2, 2):
            return 1
        return BULK_RUNS if self.version >= (2, 11) else OLD_BULK_RUNS

    @property
    def skips_known_points(self) -> bool:
        """Whether metric points that a run has may be among those of a call.

        Before 3.16 they may not where one is NaN, or where a call holds more than 100 points, of several metrics.
        """
        return self.version >= (3, 16)

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
        """Whether the artifact service can send a file of any name (before, the name went into a header as it was)."""
        return self.version >= (3, 15)

    @property
    def names_latin_files(self) -> bool:
        """Whether that header takes Latin-1 at least (gunicorn, the server before 3.3; then ASCII only)."""
        return self.version < (3, 3)

    @property
    def attaches_files(self) -> bool:
        """Whether every file of a run, a model or the artifact service is sent as an attachment (a web page is not)."""
        return self.version >= (2, 3)

    @property
    def longest_address(self) -> int:
        """How many bytes an address can have (4,094 for gunicorn, the server before 3.3; 8 KiB for most gateways)."""
        return 8000 if self.version >= (3, 3) else 4000

    @property
    def streams_uploads(self) -> bool:
        """Whether an upload may take its time (gunicorn, the server before 3.3, kills a request after 30 s)."""
        return self.version >= (3, 3)


class _Sign(NamedTuple):
    """A route that came with a version, and the versions from there to the next sign, in words."""

    version: Version
    text: str
    route: str


#: Newest first. A GET changes nothing: most of these routes take only POST, so it is declined (405) where they exist;
#: the others miss their parameters.
_SIGNS = (
    _Sign((3, 7), "3.7 to 3.9", "api/3.0/mlflow/datasets/none/add-experiments"),
    _Sign((3, 4), "3.4 to 3.6", "api/3.0/mlflow/scorers/register"),
    _Sign((3, 2), "3.2 or 3.3", "api/2.0/mlflow/experiments/delete-experiment-tag"),
    _Sign((3, 0), "3.0 or 3.1", "api/2.0/mlflow/runs/outputs"),
    _Sign((2, 11), "2.11 to 2.22", "api/2.0/mlflow/metrics/get-history-bulk-interval"),
    _Sign((2, 3), "2.3 to 2.10", "api/2.0/mlflow/registered-models/alias"),
)
_OLDEST = _Sign((1, 28), "2.2 or older", "")
_NEWEST = _Sign((3, 15), "3.15 or newer", "")
_NUMBER = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


async def detected(client: Client) -> Capabilities:
    """Ask a server what it can do.

    :raises CallError: it keeps failing
    :raises FatalError: it refuses the login
    """
    text = await _told_version(client)
    info = await _info(client)
    sign = await _sign(client, info) if text is None else None
    known = info or ServerInfo(store_type=await _store_type(client))
    return Capabilities(
        version=sign.version if sign else _parsed(text or ""),
        text=sign.text if sign else (text or "")[:VERSION_SHOWN],
        guessed=sign is not None,
        file_store=known.store_type == FILES,
        database=known.store_type == DATABASE,
        registry=info is not None or await _has_registry(client),
        workspaces=known.workspaces_enabled,
        signs_uploads=known.multipart_uploads_enabled,
        signs_downloads=bool(known.multipart_downloads_enabled),
    )


async def _told_version(client: Client) -> str | None:
    """Return what the server says of its version, or ``None``: it does not, or something before it answers instead."""
    try:
        text = await client.text("version")
    except CallError as error:
        if not error.definite:
            raise
        return None  # Redirected or refused, as a page would be: whether the login is right, the API says.
    return text if _NUMBER.match(text) else None


async def _info(client: Client) -> ServerInfo | None:
    try:
        return await client.call("GET", "api/3.0/mlflow/server-info", ServerInfo)
    except FatalError:
        return None  # A gateway keeps this route from us; the API as such has let us in.
    except CallError as error:
        if error.definite:
            return None
        raise


async def _sign(client: Client, info: ServerInfo | None) -> _Sign:
    """Return the newest sign that a server gives."""
    if info is not None:
        return _Sign((3, 10), "3.10 or newer", "") if info.multipart_downloads_enabled is None else _NEWEST
    for sign in _SIGNS:
        if await _has(client, sign.route):
            return sign
    return _OLDEST


async def _has(client: Client, route: str) -> bool:
    try:
        await client.call("GET", route, Nothing)
    except NoSuchEndpoint as error:
        return error.status == HTTPStatus.METHOD_NOT_ALLOWED
    except FatalError:
        return False
    except CallError as error:
        if not error.definite:
            raise
    return True


async def _store_type(client: Client) -> str | None:
    """Find out how an older server keeps its runs: a database finds no history of a run that does not exist."""
    try:
        await client.call("GET", "api/2.0/mlflow/metrics/get-history", Nothing, params=_NO_HISTORY)
    except CallError as error:
        if not error.definite:
            raise
        # Where logins have rights, the run may be looked for before the history, in other words.
        return FILES if f"Run '{_NO_RUN}' not found" in error.problem else None
    return DATABASE


async def _has_registry(client: Client) -> bool:
    try:
        await client.call("GET", "api/2.0/mlflow/registered-models/search", Nothing, params={"max_results": 1})
    except CallError as error:
        if not error.definite:
            raise
        return "registry functionality is unavailable" not in error.problem
    return True


def _parsed(text: str) -> Version:
    found = _NUMBER.match(text)
    return (int(found[1]), int(found[2])) if found else _OLDEST.version
