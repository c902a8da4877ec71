"""The httpx session of one end: our own headers and connections, nothing of the environment, no cookies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import httpx


class _NoCookies(httpx.Cookies):
    """Keeps no cookie: a session at a gateway is nobody's business of ours. httpx looks for them after every reply."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them where they are."""


class Session(httpx.AsyncClient):
    """Sends requests below ``base_url`` over ``transport``, with ``headers`` beside our own.

    ``per_request`` is asked for each request; a header that is also in ``headers`` keeps its value from there.
    """

    def __init__(
        self,
        base_url: httpx.URL | str,
        transport: httpx.AsyncBaseTransport,
        timeout: httpx.Timeout,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        per_request: Callable[[], Mapping[str, str]] = dict,
        auth: httpx.Auth | tuple[str, str] | None = None,
    ) -> None:
        super().__init__(
            base_url=base_url,
            transport=transport,
            timeout=timeout,
            headers={"user-agent": "bulkexim", "accept": "*/*", **headers},
            auth=auth,
            follow_redirects=False,
            trust_env=False,
        )
        self._none = _NoCookies()
        self._fixed = frozenset(name.lower() for name in headers)
        self._per_request = per_request

    def build_request(self, *args: Any, **options: Any) -> httpx.Request:
        """Build a request as httpx does."""
        request = super().build_request(*args, **options)
        for name, value in self._per_request().items():
            if name.lower() not in self._fixed:
                request.headers[name] = value
        return request

    @property
    def cookies(self) -> httpx.Cookies:
        """None, ever."""
        return self._none

    @cookies.setter
    def cookies(self, _: object) -> None:
        raise TypeError("A session of ours sends no cookies.")
