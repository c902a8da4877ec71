"""The object storage behind the artifact service of a server, entered by addresses that the server signs."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
import httpx

from bulkexim.config import Endpoint
from bulkexim.errors import FatalError
from bulkexim.http import auth
from bulkexim.http.address import server_address
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.http.outage import Watch, nobody
from bulkexim.http.proxy import proxy_for
from bulkexim.http.retry import Patience, Traffic
from bulkexim.http.session import Session
from bulkexim.http.transport import AiohttpTransport

#: Parts of files that are in memory at once, over all files.
PARTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Storage:
    """Storage that the user named. ``client`` holds no login: each address carries the right to one file.

    ``flag`` is the one that names it; ``parts`` bounds the parts of files that are in memory.
    """

    client: Client
    flag: str
    parts: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(PARTS_AT_ONCE))

    def route(self, signed: str) -> str:
        """Return path and query of a signed address.

        :raises FatalError: it leads elsewhere; a server may not send us to whatever host it likes
        """
        try:
            address = httpx.URL(signed)
        except httpx.InvalidURL as error:
            raise FatalError(f"{self.client.name}: the server signs an address that is none.", "Check it.") from error
        origin = self.client.http.base_url
        if (address.scheme, address.host, address.port) != (origin.scheme, origin.host, origin.port):
            there = f"{address.scheme}://{address.netloc.decode(errors='replace').rpartition('@')[2]}"
            raise FatalError(
                f"{self.client.name}: the server keeps its files at {there}, not at {str(origin).rstrip('/')}.",
                f"Give {self.flag} {there} if that is your storage, or leave it out: all goes through the server.",
            )
        return address.raw_path.decode().removeprefix("/")


def storage(
    endpoint: Endpoint, name: str, patience: Patience, traffic: Traffic, watch: Watch = nobody
) -> Storage | None:
    """Return the storage of the server ``name`` ("source" or "destination"), if one was given for it.

    ``traffic`` counts what goes there together with what goes to the server; ``watch`` is told of outages.

    :raises FatalError: what was given is no address
    """
    if endpoint.storage is None:
        return None
    flag = "--src-storage" if name == "source" else "--dst-storage"
    # What stands behind the host belongs to one file: whoever gives a signed address means the storage.
    given = server_address(endpoint.storage.partition("?")[0], f"{name} storage")
    origin = given.copy_with(userinfo=b"", path="/")
    http = Session(origin, AiohttpTransport(tls=auth.tls(endpoint), proxy=proxy_for(origin)), patience.timeout)
    return Storage(Client(f"{name} storage", http, Limiter(None, None), patience, traffic, watch=watch), flag)
