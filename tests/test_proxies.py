"""The way to a server leads through the proxy that the environment names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import requests

from bulkexim.config import Endpoint
from bulkexim.demo.fill import environment
from bulkexim.demo.show import ours
from bulkexim.ends.opening import opened
from bulkexim.ends.server import connected
from bulkexim.errors import FatalError, UsageError
from bulkexim.http import auth
from bulkexim.http.proxy import proxy_for
from tests.support.faults.teller import Forward, Request, Teller, telling
from tests.support.faults.wire import Reply
from tests.support.ports import free_port
from tests.support.servers import MlflowServer
from tests.support.tls import made_certificate, serving_tls
from tests.support.tunnel import tunnelling

pytestmark = pytest.mark.anyio


async def _forwarding(request: Request, _: Forward) -> Reply:
    """Asks the whole address that it was given, as a proxy does."""
    ours = {name: value for name, value in request.headers.items() if not name.startswith(("proxy-", "host"))}
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.request(request.method, request.target, headers=ours, content=request.body)
    kept = [(name, value) for name, value in reply.headers.raw if name.lower() == b"content-type"]
    return Reply(reply.status_code, kept, reply.content)


@contextmanager
def proxy_before(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teller]:
    with telling(server.url, _forwarding) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://ann:s3cret-of-ann@"))
        yield proxy


async def test_a_server_is_asked_through_the_proxy_which_gets_its_login(
    small_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy_before(small_server, monkeypatch) as proxy:
        async with connected(Endpoint(uri=small_server.url), "source") as source:
            assert source.capabilities.version >= (3, 10)
        assert proxy.seen
        assert {request.target.partition("/api/")[0].removesuffix("/version") for request in proxy.seen} == {
            small_server.url
        }
        expected = httpx.BasicAuth("ann", "s3cret-of-ann")._auth_header
        assert {request.headers["proxy-authorization"] for request in proxy.seen} == {expected}


async def test_no_proxy_names_what_is_reached_without_it(
    small_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "mlflow.example,127.0.0.1")
    with proxy_before(small_server, monkeypatch) as proxy:
        async with connected(Endpoint(uri=small_server.url), "source"):
            assert proxy.seen == []


async def test_a_proxy_that_is_not_there_is_named_without_its_login(
    small_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("http_proxy", f"ann:s3cret-of-ann@127.0.0.1:{port}")
    with pytest.raises(Exception, match=f"proxy 127.0.0.1:{port}") as raised:
        async with connected(Endpoint(uri=small_server.url), "source"):
            pass
    assert "s3cret" not in f"{raised.value}"


async def test_the_servers_of_the_demo_are_ours_and_need_no_proxy(
    small_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with ours(small_server.url, "source") as source:
        assert source.capabilities.version >= (3, 10)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    assert requests.utils.get_environ_proxies(small_server.url) == {}


async def test_a_server_that_speaks_tls_is_reached_by_a_tunnel_that_the_proxy_opens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = made_certificate(tmp_path)
    login = httpx.BasicAuth("ann", "p@ss:word")._auth_header
    async with serving_tls(certificate) as url, tunnelling(login) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address("ann:p%40ss%3Aword@"))
        async with connected(Endpoint(uri=url, server_cert_path=str(certificate)), "source") as source:
            assert source.capabilities.text == "3.17.2"
        there = url.removeprefix("https://")
        assert set(proxy.asked) == {(f"CONNECT {there} HTTP/1.1", login)}
        with pytest.raises(FatalError, match="no trust between the server and us"):
            async with connected(Endpoint(uri=url), "source"):
                pass


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_another_login_is_named_without_ours(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tunnelling("Basic of-somebody-else") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.address("ann:s3cret-of-ann@"))
        with pytest.raises(FatalError, match=r"proxy .* \(HTTP 407\)") as raised:
            async with connected(Endpoint(uri=f"{scheme}://mlflow.example"), "source"):
                pass
    assert "HTTPS_PROXY" in raised.value.remedy and "user:password@ before its host" in raised.value.remedy
    assert "s3cret" not in f"{raised.value}"


async def test_the_server_of_a_local_store_is_ours_and_needs_no_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    (tmp_path / "0").mkdir()
    meta = "experiment_id: '0'\nname: Default\nlifecycle_stage: active\nartifact_location: mlruns/0\n"
    (tmp_path / "0" / "meta.yaml").write_text(meta)
    async with opened(Endpoint(uri=str(tmp_path)), "source") as source:
        assert source.capabilities.version >= (3, 10)


@pytest.mark.parametrize(
    ("given", "address", "found"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https://mlflow.example", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://mlflow.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://mlflow.example", None),
        ({"ALL_PROXY": "http://p:1"}, "http://mlflow.example", "http://p:1"),
        ({"all_proxy": "http://a:1", "http_proxy": "http://p:1"}, "http://mlflow.example", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": ".example"}, "http://mlflow.example", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "mlflow.example:5000"}, "http://mlflow.example:5000", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "mlflow.example:5000"}, "http://mlflow.example:80", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://mlflow.example", None),
        ({"ALL_PROXY": ""}, "http://mlflow.example", None),
    ],
)
def test_the_environment_is_read_as_curl_reads_it(
    given: dict[str, str], address: str, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(httpx.URL(address))
    assert proxy == (found and httpx.URL(found))


@pytest.mark.parametrize("given", ["socks5://ann:s3cret@p:1", "http://", "http://ann:s3cret@p:port"])
def test_what_is_no_http_proxy_is_refused_without_its_login(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", given)
    with pytest.raises(UsageError, match="ALL_PROXY names no HTTP proxy") as raised:
        proxy_for(httpx.URL("http://mlflow.example"))
    assert "s3cret" not in f"{raised.value} {raised.value.remedy}"


def test_the_password_of_a_proxy_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:s3cret-of-ann@p:1")
    assert "s3cret-of-ann" in set(auth.all_secrets(Endpoint(uri="http://mlflow.example")))
