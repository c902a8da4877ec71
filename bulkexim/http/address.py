"""The address of a server, as the user gives it."""

from __future__ import annotations

import re

import httpx

from bulkexim.errors import UsageError

_REMEDY = "Give http://host:port or https://host:port."
_HIGHEST_PORT = 65535
_LONGEST_LABEL = 63


def flag(name: str, option: str) -> str:
    """Return the flag of an option of the server ``name``: "source", "destination", or the storage of one of them."""
    return f"--{'src' if name.startswith('source') else 'dst'}-{option}"


def address_flag(name: str) -> str:
    """Return the flag that gives the address of a server, or of its storage."""
    return flag(name, "storage" if name.endswith(" storage") else "uri")


def server_address(uri: str, name: str) -> httpx.URL:
    """Return the address of the server ``name`` ("source" or "destination"), with its login if it holds one.

    :raises UsageError: no request could go there; the sentence repeats nothing that may be a part of a password
    """
    try:
        base = httpx.URL(uri.rstrip("/") + "/")
        has_host = bool(base.host)
    except (httpx.InvalidURL, UnicodeError) as error:
        remedy = "Give http://host:port; write / ? # @ in a password as %2F %3F %23 %40, or better as a variable."
        raise UsageError(f"The {name} address is not a URL.", remedy) from error
    shown = base.copy_with(userinfo=b"", query=None, fragment=None)
    if base.scheme not in ("http", "https") or not has_host:
        raise UsageError(f"The {name} address {shown} cannot be used.", _REMEDY)
    if not _is_host(base.raw_host.decode()):
        raise UsageError(f"The {name} address {shown} names no host.", _REMEDY)
    if base.port is not None and not 0 < base.port <= _HIGHEST_PORT:
        raise UsageError(f"The {name} address {shown} has a port that cannot be.", _REMEDY)
    if base.fragment.startswith("/"):
        server = str(shown).rstrip("/")
        raise UsageError(
            f"The {name} address {server}/#/... is that of a page.",
            f"Give that of the server: {address_flag(name)} {server}.",
        )
    if base.query or base.fragment:
        remedy = f"Leave it out; a token is given with {flag(name, 'token')}."
        raise UsageError(f"The {name} address {shown} has a query or an anchor, which no call could keep.", remedy)
    return base


def _is_host(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return ":" in host or all(re.fullmatch(rf"[\w-]{{1,{_LONGEST_LABEL}}}", label, re.ASCII) for label in labels)
