"""Opens the end that an address names."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from bulkexim.config import Endpoint
from bulkexim.ends.embedded import embedded
from bulkexim.ends.local_store import ACCEPTED, is_local, local_store, scheme
from bulkexim.ends.server import Server, connected
from bulkexim.errors import UsageError
from bulkexim.http.outage import Watch, nobody
from bulkexim.http.retry import Patience
from bulkexim.http.transport import AiohttpTransport

_DATABASES = ("postgresql", "postgres", "mysql", "mssql", "sqlite")


def opened(
    endpoint: Endpoint,
    name: str,
    *,
    identity: str | None = None,
    artifacts: bool = True,
    patience: Patience = Patience(),  # noqa: B008 - a frozen value
    tell: Callable[[str], None] = lambda _: None,
    watch: Watch = nobody,
) -> AbstractAsyncContextManager[Server]:
    """Return the open end ``name`` ("source" or "destination"). A source may be a local store.

    ``tell`` hears what is done, for the progress: a large store takes its time. ``watch`` is told when the end does not
    answer any more, and when it answers again.

    With ``artifacts``, a local store whose artifacts cannot be reached is refused. An ``identity`` that is an address
    loses its login, as every address does under which an end is remembered.

    :raises UsageError: the address names no end of that kind
    """
    identity = identity and re.sub(r"(?<=://)[^/?#]+@", "", identity)
    if scheme(endpoint.uri) in ("http", "https"):
        tell(f"connecting to the {name}")
        return connected(endpoint, name, identity=identity, patience=patience, watch=watch)
    if not is_local(endpoint.uri):
        raise _unknown(endpoint.uri, name)
    if name != "source":
        raise UsageError(
            f"The {name} must be a server, not a local store.",
            "Start one on it (mlflow server --backend-store-uri sqlite:///mlflow.db) and give http://127.0.0.1:5000.",
        )
    for flag, given in (("--src-artifacts-dir", endpoint.artifacts_dir), ("--src-storage", endpoint.storage)):
        if given:
            raise UsageError(f"{flag} is for a server: a local store says itself where its files are.", "Leave it out.")
    return _served(endpoint, name, identity, patience, artifacts=artifacts, tell=tell, watch=watch)


@asynccontextmanager
async def _served(
    endpoint: Endpoint,
    name: str,
    identity: str | None,
    patience: Patience,
    *,
    artifacts: bool,
    tell: Callable[[str], None],
    watch: Watch,
) -> AsyncIterator[Server]:
    store = local_store(endpoint.uri)
    workspace = f"#{endpoint.workspace}" if endpoint.workspace else ""
    async with embedded(store, artifacts=artifacts, tell=tell) as (url, replica):
        # Logins are left behind: a server on loopback asks for none.
        loopback = Endpoint(uri=url, workspace=endpoint.workspace, concurrency=endpoint.concurrency, rps=endpoint.rps)
        known_as = identity or f"{store.identity}{workspace}"
        direct = AiohttpTransport()  # Ours, on this machine: no proxy stands before it.
        serving = connected(loopback, name, identity=known_as, transport=direct, patience=patience, watch=watch)
        async with serving as server:
            yield replace(server, local=replica.found, unaccounted=replica.unaccounted, local_warnings=replica.warnings)


def _unknown(uri: str, name: str) -> UsageError:
    # The address itself is not repeated: that of a database holds a password.
    kind = scheme(uri) or uri
    if kind.startswith(_DATABASES):
        remedy = "Start mlflow server --backend-store-uri with it, and give the address of that server."
    else:
        remedy = f"Give http://host:port or https://host:port.{f' Or {ACCEPTED[5:]}' if name == 'source' else ''}"
    return UsageError(f"The {name} cannot be reached by an address of the kind {kind!r}.", remedy)
