"""The first look at a server: what it can do, or in a sentence why it cannot be used."""

from __future__ import annotations

import ssl

import anyio
import httpx

from bulkexim.config import Endpoint
from bulkexim.ends.capabilities import Capabilities, Nothing, detected
from bulkexim.errors import (
    BadReply,
    BulkeximError,
    CallError,
    FatalError,
    Lost,
    NoSuchEndpoint,
    NotSent,
    Refused,
    ServerFault,
    TemporaryTrouble,
)
from bulkexim.http import advice
from bulkexim.http.address import address_flag, flag
from bulkexim.http.client import Client

#: Seconds for a handshake that is tried only to tell what is wrong.
HANDSHAKE_SECONDS = 5.0


async def probe(client: Client, endpoint: Endpoint) -> Capabilities:
    """Find out what a server can do.

    :raises FatalError: what answers is not MLflow, or it refuses us, or the address cannot be right
    :raises TemporaryTrouble: nothing answers, or the server fails
    """
    try:
        # First what every MLflow answers: a refusal here is one of the login, or no MLflow is there. No experiment has
        # that name; one that is stored there may be damaged.
        nothing = {"max_results": 1, "filter": "name = 'bulkexim probe'"}
        await client.call("POST", "api/2.0/mlflow/experiments/search", Nothing, body=nothing)
        capabilities = await detected(client)
    except (NoSuchEndpoint, BadReply) as error:
        raise _not_mlflow(client, error) from error
    except (Lost, NotSent, TemporaryTrouble) as error:
        raise await _no_answer(client, error) from error
    except Refused as error:
        where = f" (workspace {endpoint.workspace})" if endpoint.workspace else ""
        remedy = error.remedy or "Check address, workspace and login."
        raise FatalError(f"The {client.name}{where} declines: {error.problem}", remedy) from error
    if endpoint.workspace and not capabilities.workspaces:
        raise FatalError(
            f"The {client.name} has no workspaces.",
            f"Leave out {flag(client.name, 'workspace')}, or start it with --enable-workspaces.",
        )
    return capabilities


def _not_mlflow(client: Client, error: NoSuchEndpoint | BadReply) -> FatalError:
    page = isinstance(error, BadReply) and "text/html" in error.problem
    what = "is a web page, perhaps one to log in" if page else "is not an MLflow tracking server"
    remedy = f"Check {address_flag(client.name)}, with its path if the server has a --static-prefix."
    if page:
        remedy += f" If a gateway before it wants a login: give one with {flag(client.name, 'token')}."
    return FatalError(f"What answers at the {client.name} address {client.http.base_url} {what}.", remedy)


async def _no_answer(client: Client, error: Lost | NotSent | TemporaryTrouble) -> BulkeximError:
    base, again = client.http.base_url, "run the same command again"
    # A server that was waited for in vain: what the last try met says more than that.
    last = error.__cause__ if isinstance(error, TemporaryTrouble) and isinstance(error.__cause__, CallError) else error
    problem = last.problem.partition(": ")[2].rstrip(".")
    told = f"The {client.name} {base} does not answer ({problem})."
    if isinstance(last, ServerFault):
        remedy = f"If that is the {client.name} itself, its log says more; when it is mended, {again}."
        return TemporaryTrouble(told, remedy)
    if isinstance(last, NotSent):
        return TemporaryTrouble(told, f"{last.remedy} Then {again}.")
    if isinstance(last, Lost) and await _speaks_tls(base):
        problem = f"The {client.name} {base} speaks TLS, and was asked without."
        return FatalError(problem, advice.with_tls(client.name))
    address = address_flag(client.name)
    if type(last) is Lost and base.scheme == "http":
        address += " (with https://, if that port speaks TLS)"
    return TemporaryTrouble(told, f"Check {address}, and whether the server is up; then {again}.")


async def _speaks_tls(base: httpx.URL) -> bool:
    """Return whether a server that hung up on a request without TLS takes part in a handshake, or refuses one."""
    if base.scheme != "http":
        return False
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    try:
        with anyio.fail_after(HANDSHAKE_SECONDS):
            # Many servers hang up without the farewell that the standard asks for; they spoke TLS all the same.
            connecting = anyio.connect_tcp(
                base.host, base.port or 80, ssl_context=anybody, tls_standard_compatible=False
            )
            async with await connecting:
                return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
