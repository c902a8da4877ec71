"""Which proxy stands before an address: what the environment says, as for curl and requests."""

from __future__ import annotations

from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # not in typeshed

import httpx

from bulkexim.errors import UsageError


def proxy_for(address: httpx.URL) -> httpx.URL | None:
    """Return the proxy for an address, or ``None`` for the direct way.

    ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``ALL_PROXY`` name it, in either case of letters; ``NO_PROXY`` lists hosts,
    domains and ``host:port`` that are reached without one (`urllib.request`).

    :raises UsageError: what is named is no HTTP proxy
    """
    known = getproxies_environment()
    given = known.get(address.scheme) or known.get("all")
    host = f"{address.host}:{address.port}" if address.port else address.host
    if not given or proxy_bypass_environment(host, known):
        return None
    variable = f"{address.scheme if known.get(address.scheme) else 'all'}_proxy".upper()
    try:
        proxy = httpx.URL(given if "://" in given else f"http://{given}")
    except httpx.InvalidURL:
        proxy = httpx.URL("")
    # The value itself is not repeated: it may hold a password.
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise UsageError(
            f"{variable} names no HTTP proxy.",
            f"Give it as http://host:port, or name {address.host} in NO_PROXY to go there without one.",
        )
    return proxy
