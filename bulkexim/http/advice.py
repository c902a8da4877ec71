"""What to do about a reply that is none: which flag of which side, which right, which limit.

A server is named as in sentences: "source", "destination", or "source storage" and "destination storage".
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Mapping

import httpx

from bulkexim.http import broken
from bulkexim.http.address import address_flag, flag

#: Words in the address of a page where people log in.
_LOGIN = re.compile(r"log-?in|sign-?in|logon|oauth|openid|saml|\b(?:sso|idp|auth)\b", re.IGNORECASE)
_MIB = 1024 * 1024


def login(name: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return what is wrong with the login of a request that was answered with 401, and what to do about it."""
    authorization = headers.get("authorization", "")
    if not authorization:
        names = f"{flag(name, 'username')} and {flag(name, 'password')}, or {flag(name, 'token')}"
        variables = f"BULKEXIM_{flag(name, 'token')[2:5].upper()}_TOKEN"
        return (
            "the server wants a login, and none was given",
            f"Give {names}; better as variables, such as {variables}.",
        )
    if user := _user(authorization):
        return (
            f"the login was refused (user {user!r})",
            f"Check {flag(name, 'username')} and {flag(name, 'password')}.",
        )
    return "the login was refused", f"Check {flag(name, 'token')}: it may be wrong, or have expired."


def _user(authorization: str) -> str:
    scheme, _, login = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        user, _, password = b64decode(login).decode().partition(":")
    except ValueError:
        return ""
    return user if password else ""  # Where there is no password, the name is the token.


def connection(error: httpx.TransportError, name: str) -> str:
    """Return what to do about a connection that was not made."""
    address = address_flag(name)
    match error:
        case broken.Untrusted() if "mismatch" in str(error):
            return f"Give {address} with a name that stands in the server's certificate."
        case broken.Untrusted():
            return f"Give the authority that vouches for it with {flag(name, 'server-cert-path')}."
        case broken.NotTls():
            return f"Give {address} with http://, or with the port at which the server speaks TLS."
        case broken.NothingListens():
            return f"Check host and port of {address}, and whether the server is up."
        case broken.UnknownHost():
            return f"Check the name in {address}, and whether this machine is in the right network."
        case broken.ProxyGone() | broken.ProxyRefuses():
            return proxy()
        case _:
            return f"Check {address}, the network and its firewalls, and whether the server is up."


def proxy() -> str:
    """Return what to do about a proxy that does not let us through."""
    return (
        "The proxy comes from HTTP_PROXY, HTTPS_PROXY or ALL_PROXY: check it, with its login "
        "(user:password@ before its host), or except the server in NO_PROXY."
    )


def pages(name: str) -> str:
    """Return what to do about a route that MLflow has for its web pages, and that a gateway keeps from us."""
    return f"If a gateway before the {name} lets only /api/ through with this login: let it pass this route as well."


def instead(what: str, content_type: str) -> str:
    """Return what to do about a reply to the call ``what`` that is not MLflow's: a page is that of somebody else."""
    if not content_type.lower().startswith("text/html"):
        return ""
    name = server_of(what)
    return (
        f"A login page or a gateway may have answered in place of the {name}: check whether its login expired, "
        "and what stands before it."
    )


def with_tls(name: str) -> str:
    """Return what to do about a server that speaks TLS where it was asked without."""
    return f"Give {address_flag(name)} with https://."


def server_of(what: str) -> str:
    """Return the server that a call is made to: the first word of its name, or two where that is storage."""
    first, second, *_ = *what.split(" ", 2), "", ""
    return f"{first} storage" if second == "storage" else first


def redirect(name: str, asked: httpx.URL, target: httpx.URL) -> str:
    """Return what to do about a server that sends us elsewhere; no redirect is followed."""
    there = asked.join(target)
    if _LOGIN.search(f"{there.host}{there.path}"):
        return (
            f"That looks like a page to log in: give a login that is accepted for the API with {flag(name, 'token')} "
            f"or {flag(name, 'username')}, or an address that leads past that page with {address_flag(name)}."
        )
    if there.path.rstrip("/") == asked.path.rstrip("/") and there.host:
        there = there.copy_with(path="/", query=None, fragment=None, userinfo=b"")
        return (
            f"Give {address_flag(name)} {str(there).rstrip('/')}, with the path that it had; no redirect is followed."
        )
    return f"Give the address itself with {address_flag(name)}: no redirect is followed."


def right(name: str, method: str, path: str) -> str:
    """Return which right the login lacks for a call (``mlflow.server.auth``, ``BEFORE_REQUEST_HANDLERS``)."""
    last = path.rstrip("/").rpartition("/")[2]
    if method == "GET" or last == "search":
        wanted = "READ"
    elif method == "DELETE" or last in ("delete", "restore"):
        wanted = "MANAGE"
    else:
        wanted = "EDIT"
    return f"It takes the right {wanted}: have it granted, or give another login with {flag(name, 'username')}."


def body_limit(name: str, size: int) -> str:
    """Return what to do about a body of so many bytes that nobody takes."""
    enough = f"{math.ceil((size + 1) / _MIB)}m"
    return (
        f"Raise the limit for bodies at the gateway of the {name}: nginx calls it client_max_body_size, and has 1m "
        f"unless it is set; {enough} would do."
    )


def address_limit(name: str) -> str:
    """Return what to do about an address that is too long."""
    return f"Raise the limit for addresses at the gateway of the {name} (nginx: large_client_header_buffers)."


def switched_off(name: str, said: str) -> str:
    """Return how a server gets the part that it says it was started without."""
    if "artifact" in said.lower():
        return f"Start the {name} with --serve-artifacts, or give --no-artifacts to leave the files behind."
    if "workspace" in said.lower():
        return f"Start the {name} with --enable-workspaces, or leave out {flag(name, 'workspace')}."
    return f"The {name} was started without this part: start it with it, or leave out what needs it."


def host_name(name: str, host: str) -> str:
    """Return what to do about a server that does not go by the name in our address."""
    return (
        f"Start the {name} with --allowed-hosts {host}, or give {address_flag(name)} with a name or an IP address that "
        "it allows."
    )
