"""An MLflow tracking server as an end: typed calls, pages, and what it can do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from bulkexim.config import Endpoint
from bulkexim.ends.bodies import Bodies
from bulkexim.ends.capabilities import Capabilities, Nothing
from bulkexim.ends.local_artifacts import LocalRoots
from bulkexim.ends.optional_routes import OptionalRoutes
from bulkexim.ends.page_tokens import token_at
from bulkexim.ends.pages import Check, LeaveOut, Pages, Wanted
from bulkexim.ends.probe import probe
from bulkexim.ends.unaccounted import Unaccounted
from bulkexim.ends.unread import Unread
from bulkexim.errors import FatalError, NotFound, ObjectError
from bulkexim.http import auth
from bulkexim.http.address import server_address
from bulkexim.http.client import Client, Params
from bulkexim.http.limiter import Limiter
from bulkexim.http.outage import Watch, nobody
from bulkexim.http.proxy import proxy_for
from bulkexim.http.retry import Divisible, Patience, Repeat
from bulkexim.http.session import Session
from bulkexim.http.storage import Storage, storage
from bulkexim.http.transport import AiohttpTransport

T = TypeVar("T")
Page = TypeVar("Page")

API = "api/2.0/mlflow/"
#: Ids of runs and logged models (``mlflow.utils.validation``).
_ID = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)
#: Seconds for which a server that has not answered yet is waited for at the start.
FIRST_PATIENCE = Patience(seconds=8.0, longest_pause=1.0)


@dataclass(frozen=True, slots=True)
class Server:
    """One MLflow server. ``identity`` is the name under which it is remembered, free of credentials.

    ``folder`` is where its artifact service keeps the files, if this machine sees it and was told so; ``storage`` is
    the object storage behind it, if that was named; ``optional`` knows which of its pages' routes we may use.
    ``unread`` gets the rows of listings that it cannot read; without it such a row ends the listing.

    Of a local store, ``local`` finds the folders of artifact roots, ``unaccounted`` is what it holds that MLflow does
    not show, and ``local_warnings`` are sentences on its state.
    """

    client: Client
    identity: str
    capabilities: Capabilities = field(default_factory=lambda: Capabilities((0, 0), "unknown"))
    folder: Path | None = None
    storage: Storage | None = None
    optional: OptionalRoutes = field(default_factory=OptionalRoutes)
    bodies: Bodies = field(default_factory=Bodies)
    unread: Unread | None = None
    local: LocalRoots | None = None
    unaccounted: tuple[Unaccounted, ...] = ()
    local_warnings: tuple[str, ...] = ()

    async def get(
        self, path: str, reply: type[T], params: Params | None = None, *, divisible: Divisible | None = None
    ) -> T:
        """GET a route below ``/api/2.0/mlflow/`` (or any other that starts with a slash)."""
        return await self.client.call("GET", _route(path), reply, params=params, divisible=divisible)

    async def post(
        self,
        path: str,
        body: Any,
        reply: type[T],
        repeat: Repeat = Repeat.SAFE,
        *,
        divisible: Divisible | None = None,
    ) -> T:
        """POST to a route below ``/api/2.0/mlflow/``."""
        return await self.client.call("POST", _route(path), reply, body=body, repeat=repeat, divisible=divisible)

    async def create(self, path: str, body: Any, reply: type[T], repeat: Repeat = Repeat.SAFE) -> T:
        """POST a call that creates something: once it has left, its reply is waited for even when cancelled."""
        return await self.client.call("POST", _route(path), reply, body=body, repeat=repeat, creates=True)

    async def send(self, method: str, path: str, body: Any, repeat: Repeat = Repeat.SAFE) -> None:
        """Make a call whose reply holds nothing of interest."""
        await self.client.call(method, _route(path), Nothing, body=body, repeat=repeat)

    async def remove(self, method: str, path: str, body: Any) -> None:
        """Make a call that ends something; not found means that an earlier one, whose reply was lost, ended it."""
        with suppress(NotFound):
            await self.send(method, path, body)

    def search(
        self,
        path: str,
        body: Mapping[str, Any],
        reply: type[Page],
        token: Callable[[Page], str | None],
        *,
        first: int | None = None,
        at: Callable[[int], str] = token_at,
        leave_out: LeaveOut | None = None,
    ) -> AsyncIterator[Page]:
        """Return the pages of a POST search; `bulkexim.ends.pages.Pages` says what ``first`` and ``at`` are.

        ``leave_out`` takes rows that cannot be read, in place of `leave_out`, where this end leaves them out.

        :raises BadReply: the server gives a page token again and again, so that its pages would never end
        """

        async def ask(page: Wanted, check: Check[Page]) -> Page:
            given, heavy = {**body, **_of(page)}, bool(page.token)
            return await self.client.call(
                "POST", _route(path), reply, body=given, check=check, heavy=heavy, divisible=page.divisible
            )

        noted = self.leave_out(path)
        return Pages(ask, token, path, body.get("max_results"), first, noted and (leave_out or noted), at).read()

    def list(
        self,
        path: str,
        params: Sequence[tuple[str, str | int]],
        reply: type[Page],
        token: Callable[[Page], str | None],
        *,
        first: int | None = None,
    ) -> AsyncIterator[Page]:
        """Return the pages of a GET search; see `search`."""
        most = dict(params).get("max_results")
        fixed = [(key, value) for key, value in params if key != "max_results"]

        async def ask(page: Wanted, check: Check[Page]) -> Page:
            given, heavy = [*fixed, *_of(page).items()], bool(page.token)
            return await self.client.call(
                "GET", _route(path), reply, params=given, check=check, heavy=heavy, divisible=page.divisible
            )

        return Pages(ask, token, path, int(most) if most else None, first, self.leave_out(path)).read()

    def leave_out(self, path: str) -> LeaveOut | None:
        """Return what notes the rows of a listing that cannot be read, if there is to be one."""
        return self.unread.of(path) if self.unread else None

    def download(self, path: str, params: Params | None = None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a stored file; see `bulkexim.http.client.Client.download`."""
        return self.client.download(path, params, attached=self.capabilities.attaches_files)

    async def aclose(self) -> None:
        """Close every connection."""
        await self.client.aclose()
        if self.storage is not None:
            await self.storage.client.aclose()


def _of(page: Wanted) -> dict[str, str | int]:
    """Return what a question says of the page that it is for."""
    said = {"max_results": page.rows, "page_token": page.token}
    return {key: value for key, value in said.items() if value}


def _route(path: str) -> str:
    return path.removeprefix("/") if path.startswith("/") else API + path


def quoted(path: str) -> str:
    """Return a path of an artifact as it stands in a URL; slashes stay."""
    return quote(path, safe="/")


def segment(name: str) -> str:
    """Return an id that a server gave as one piece of a path in a URL.

    :raises ObjectError: it would lead to another path
    """
    if not _ID.fullmatch(name):
        raise ObjectError("unsafe id", f"A server gave the id {name[:80]!r}, which is none of MLflow's.", "Check it.")
    return name


@asynccontextmanager
async def connected(
    endpoint: Endpoint,
    name: str,
    *,
    identity: str | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    patience: Patience = Patience(),  # noqa: B008 - a frozen value
    watch: Watch = nobody,
) -> AsyncIterator[Server]:
    """Open the server of ``endpoint`` and find out what it can do. ``name`` is "source" or "destination".

    ``watch`` is told when it does not answer any more, and when it answers again.

    :raises FatalError: what answers is not MLflow, or it refuses the login
    :raises TemporaryTrouble: nothing answers
    """
    server = _unprobed(endpoint, name, identity, transport, patience, watch=watch)
    try:
        capabilities = await probe(server.client, endpoint)
        if server.storage is not None:
            _insist_on_signing(server.storage, name, capabilities)
        server.client.patience = patience
        yield replace(server, capabilities=capabilities)
    finally:
        await server.aclose()


def _unprobed(
    endpoint: Endpoint,
    name: str,
    identity: str | None,
    transport: httpx.AsyncBaseTransport | None,
    patience: Patience,
    *,
    watch: Watch,
) -> Server:
    base = server_address(endpoint.uri, name)
    login = (base.username, base.password) if base.userinfo else None
    base = base.copy_with(userinfo=b"")
    http = Session(
        base,
        transport or AiohttpTransport(tls=auth.tls(endpoint), proxy=proxy_for(base)),
        patience.timeout,
        headers=auth.headers(endpoint),
        per_request=auth.plugin_headers(),
        auth=auth.plugin(endpoint) or login,
    )
    first = replace(FIRST_PATIENCE, reply=patience.reply)
    client = Client(name, http, Limiter(endpoint.concurrency, endpoint.rps), first, api="api/", watch=watch)
    workspace = f"#{endpoint.workspace}" if endpoint.workspace else ""
    known_as = identity or f"{str(base).rstrip('/')}{workspace}"
    behind = storage(endpoint, name, patience, client.traffic, watch)
    unread = Unread() if name == "source" else None  # A row that is missed at the destination would be made again.
    return Server(client, known_as, folder=endpoint.folder, storage=behind, unread=unread)


def _insist_on_signing(behind: Storage, name: str, capabilities: Capabilities) -> None:
    """Make sure that a server signs addresses for what a migration does there."""
    if name == "source" and not capabilities.signs_downloads:
        raise FatalError(
            "The source signs no addresses to read its storage: MLflow tells so for S3, since 3.15.",
            f"Leave out {behind.flag}: all goes through the server.",
        )
    if name == "destination" and not capabilities.signs_uploads:
        raise FatalError(
            "The destination signs no addresses to write to its storage: MLflow tells so for S3, Google Cloud Storage "
            "and Azure, since 3.15.",
            f"Leave out {behind.flag}: all goes through the server.",
        )
