"""What is said of a server that cannot be used: each trouble in a sentence of its own, with the flag of the right side.

Real servers and sockets; a teller stands for gateways.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import anyio
import httpx
import pytest

from bulkexim.config import Endpoint
from bulkexim.ends import server
from bulkexim.ends.server import connected
from bulkexim.errors import BulkeximError, FatalError, Refused, SwitchedOff, TemporaryTrouble, TooLarge, UsageError
from bulkexim.http.retry import Patience
from tests.conftest import StartServer
from tests.support.faults.teller import Forward, Request, telling
from tests.support.faults.wire import Reply
from tests.support.ports import free_port
from tests.support.servers import ADMIN, MlflowServer, Servers
from tests.support.tls import hanging_up_tls, made_certificate, serving_tls

pytestmark = pytest.mark.anyio

HTML = [(b"content-type", b"text/html")]
#: Each side, and the beginning of its flags.
SIDES = [("source", "--src-"), ("destination", "--dst-")]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_PATIENCE", Patience(seconds=0.0, fault_tries=1))


async def wrong(endpoint: Endpoint | str, side: str = "source") -> BulkeximError:
    """Returns what is wrong with an end."""
    endpoint = Endpoint(uri=endpoint) if isinstance(endpoint, str) else endpoint
    with anyio.fail_after(30.0), pytest.raises(BulkeximError) as raised:
        async with connected(endpoint, side):
            pass
    return raised.value


class Case(NamedTuple):
    """An address that leads nowhere: the kind of the error, words of what is wrong, and words of what to do."""

    address: str
    kind: type[BulkeximError]
    problem: str
    remedy: str


PORT = free_port()
ADDRESSES = {
    "nobody listens": Case(
        f"http://127.0.0.1:{PORT}", TemporaryTrouble, f"nothing listens at 127.0.0.1:{PORT}", "host and port of {}uri"
    ),
    "nobody listens, by name": Case(
        f"http://localhost:{PORT}", TemporaryTrouble, f"nothing listens at localhost:{PORT}", "host and port of {}uri"
    ),
    "no such host": Case("http://no-such-host.invalid:5000", TemporaryTrouble, "'no-such-host.invalid'", "{}uri, "),
    "a page": Case(
        "http://mlflow.example:5000/prefix/#/experiments/1?searchFilter=x",
        UsageError,
        "address http://mlflow.example:5000/prefix/#/... is that of a page",
        "{}uri http://mlflow.example:5000/prefix.",
    ),
    "a query": Case("http://mlflow.example:5000/?token=hunter2", UsageError, "has a query", "{}token"),
    "an anchor": Case("http://mlflow.example:5000/#top", UsageError, "an anchor", "Leave it out"),
}


@pytest.mark.parametrize(("side", "flags"), SIDES)
@pytest.mark.parametrize("case", ADDRESSES.values(), ids=ADDRESSES)
async def test_an_address_that_leads_nowhere(case: Case, side: str, flags: str) -> None:
    error = await wrong(case.address, side)
    assert type(error) is case.kind
    assert case.problem in error.problem
    assert side in error.problem
    assert case.remedy.format(flags) in error.remedy
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(("side", "flags"), SIDES)
async def test_tls_spoken_to_a_server_without(small_server: MlflowServer, side: str, flags: str) -> None:
    error = await wrong(small_server.url.replace("http://", "https://"), side)
    assert type(error) is FatalError
    assert "does not speak TLS" in error.problem
    assert f"{flags}uri with http://" in error.remedy


@pytest.mark.parametrize(("side", "flags"), SIDES)
async def test_a_server_with_tls_spoken_to_without(tmp_path: Path, side: str, flags: str) -> None:
    async with serving_tls(made_certificate(tmp_path)) as url:
        error = await wrong(url.replace("https://", "http://"), side)
    assert type(error) is FatalError
    assert "speaks TLS" in error.problem
    assert f"{flags}uri with https://" in error.remedy


@pytest.mark.parametrize(("side", "flags"), SIDES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("wants_ours", [False, True])
async def test_a_server_with_tls_that_hangs_up_without_farewell_is_recognised(
    tmp_path: Path, side: str, flags: str, version: ssl.TLSVersion, wants_ours: bool
) -> None:
    """That of Python's standard library resets what is no TLS, and ends a connection by closing the socket."""
    with hanging_up_tls(made_certificate(tmp_path), version, wants_ours=wants_ours) as address:
        error = await wrong(f"http://{address}", side)
    assert type(error) is FatalError
    assert "speaks TLS" in error.problem
    assert f"{flags}uri with https://" in error.remedy


@pytest.mark.parametrize(("side", "flags"), SIDES)
async def test_a_port_that_breaks_every_connection_may_want_tls(side: str, flags: str) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listening:
        error = await wrong(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", side)
    assert type(error) is TemporaryTrouble
    assert f"Check {flags}uri (with https://, if that port speaks TLS)" in error.remedy


@pytest.mark.parametrize(("side", "flags"), SIDES)
async def test_certificates_that_are_not_trusted(tmp_path: Path, side: str, flags: str) -> None:
    certificate = made_certificate(tmp_path)
    async with serving_tls(certificate) as url:
        unknown = await wrong(url, side)
        another = await wrong(
            Endpoint(uri=url.replace("localhost", "127.0.0.1"), server_cert_path=str(certificate)), side
        )
    assert "no trust" in unknown.problem and "self-signed" in unknown.problem
    assert f"{flags}server-cert-path" in unknown.remedy
    assert "not valid for '127.0.0.1'" in another.problem
    assert f"{flags}uri with a name" in another.remedy


@pytest.fixture(scope="module")
def guarded(servers: Servers) -> MlflowServer:
    """A server that wants logins, and serves no artifacts; the user ``ann`` may only read what is there."""
    started = servers.start(basic_auth=True, args=["--no-serve-artifacts"])
    with httpx.Client(base_url=started.url, auth=ADMIN) as admin:
        body = {"username": "ann", "password": "password-of-ann"}
        admin.post("/api/2.0/mlflow/users/create", json=body).raise_for_status()
    return started


@pytest.mark.parametrize(("side", "flags"), SIDES)
async def test_a_login_that_is_not_given_or_wrong(guarded: MlflowServer, side: str, flags: str) -> None:
    none = await wrong(guarded.url, side)
    assert "wants a login, and none was given" in none.problem
    assert f"{flags}username and {flags}password, or {flags}token" in none.remedy
    assert f"BULKEXIM_{flags[2:5].upper()}_TOKEN" in none.remedy
    bad = await wrong(Endpoint(uri=guarded.url, username="ann", password="hunter2"), side)
    assert "the login was refused (user 'ann')" in bad.problem
    assert f"Check {flags}username and {flags}password" in bad.remedy
    expired = await wrong(Endpoint(uri=guarded.url, token="hunter2-hunter2"), side)
    assert "the login was refused" in expired.problem
    assert f"Check {flags}token" in expired.remedy
    assert "hunter2" not in f"{none} {bad} {expired}"


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("POST", "runs/create", "EDIT"),
        ("POST", "experiments/set-experiment-tag", "EDIT"),
        ("POST", "experiments/delete", "MANAGE"),
        ("POST", "experiments/restore", "MANAGE"),
    ],
)
@pytest.mark.parametrize(("side", "flags"), SIDES)
async def test_a_right_that_is_missing(
    guarded: MlflowServer, side: str, flags: str, method: str, path: str, right: str
) -> None:
    ann = Endpoint(uri=guarded.url, username="ann", password="password-of-ann")
    async with connected(ann, side) as end:
        with pytest.raises(Refused) as raised:
            await end.send(method, path, {"experiment_id": "0", "key": "a", "value": "b"})
    assert f"{side} {method} " in raised.value.problem and path in raised.value.problem
    assert f"It takes the right {right}" in raised.value.remedy
    assert f"{flags}username" in raised.value.remedy


async def test_a_part_that_is_switched_off(small_server: MlflowServer, guarded: MlflowServer) -> None:
    admin = Endpoint(uri=guarded.url, username=ADMIN[0], password=ADMIN[1])
    async with connected(admin, "destination") as end:
        with pytest.raises(SwitchedOff) as raised:
            await end.client.upload("PUT", "api/2.0/mlflow-artifacts/artifacts/a.txt", b"a", 1)
    assert "disabled" in raised.value.problem
    assert "Start the destination with --serve-artifacts" in raised.value.remedy
    error = await wrong(Endpoint(uri=small_server.url, workspace="team"))
    assert "Start the source with --enable-workspaces, or leave out --src-workspace" in error.remedy


async def test_a_host_name_that_the_server_does_not_go_by(fresh_server: StartServer) -> None:
    picky = fresh_server(args=["--allowed-hosts", "mlflow.example"])
    error = await wrong(picky.url, "destination")
    assert type(error) is FatalError
    assert "does not go by the name '127.0.0.1'" in error.problem
    assert "Start the destination with --allowed-hosts 127.0.0.1, or give --dst-uri" in error.remedy


def replying(reply: Reply) -> Callable[[Request, Forward], Awaitable[Reply]]:
    """Returns the behaviour of a gateway that lets nobody through."""

    async def behave(_request: Request, _forward: Forward) -> Reply:
        return reply

    return behave


class Gate(NamedTuple):
    """What a gateway answers to everything, words of what is wrong, and words of what to do."""

    reply: Reply
    problem: str
    remedy: str


GATES = {
    "a page to log in": Gate(
        Reply(302, [(b"location", b"https://id.example/oauth2/authorize?client_id=1&state=hunter2")], b""),
        "redirects to https://id.example/oauth2/authorize",
        "looks like a page to log in: give a login that is accepted for the API with {}token",
    ),
    "its own page to log in": Gate(
        Reply(302, [(b"location", b"/login?next=/version")], b""), "redirects to /login", "a page to log in"
    ),
    "the same with TLS": Gate(
        Reply(301, [(b"location", b"https://mlflow.example/mlflow/version")], b""),
        "redirects to https://mlflow.example/mlflow/version",
        "Give the address itself with {}uri",
    ),
    "the same path with TLS": Gate(
        Reply(308, [(b"location", b"https://mlflow.example/api/2.0/mlflow/experiments/search")], b""),
        "redirects to https://mlflow.example/api",
        "Give {}uri https://mlflow.example, with the path",
    ),
    "a page": Gate(
        Reply(200, HTML, b"<html>Please log in.</html>"), "is a web page, perhaps one to log in", "with {}token"
    ),
    "plain HTTP at a port for TLS": Gate(
        Reply(400, HTML, b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"),
        "speaks TLS",
        "{}uri with https://",
    ),
    "a WAF": Gate(Reply(403, HTML, b"<html><title>Blocked</title></html>"), "Blocked", "a gateway before it"),
    "a page of a broken gateway": Gate(
        Reply(502, HTML, b"<html><title>502 Bad Gateway</title></html>"), "502 Bad Gateway", "its log says more"
    ),
}


@pytest.mark.parametrize(("side", "flags"), SIDES)
@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
async def test_a_gateway_that_lets_nobody_through(
    small_server: MlflowServer, gate: Gate, side: str, flags: str
) -> None:
    with telling(small_server.url, replying(gate.reply)) as teller:
        error = await wrong(teller.url, side)
    assert gate.problem in error.problem
    assert side in error.problem
    assert gate.remedy.format(flags) in error.remedy
    assert "hunter2" not in str(error)


@pytest.fixture
def limits(small_server: MlflowServer) -> Iterator[str]:
    """A gateway that takes a megabyte of a body, and 2,000 letters of an address."""

    async def behave(request: Request, forward: Forward) -> Reply:
        if len(request.body) > 1024 * 1024:
            return Reply(413, HTML, b"<html><head><title>413 Request Entity Too Large</title></head></html>")
        if len(request.target) > 2000:
            return Reply(414, HTML, b"<html><head><title>414 Request-URI Too Large</title></head></html>")
        return await forward()

    with telling(small_server.url, behave) as teller:
        yield teller.url


@pytest.fixture
async def limited(limits: str) -> AsyncIterator[server.Server]:
    async with connected(Endpoint(uri=limits), "destination") as end:
        yield end


async def test_a_body_that_is_too_large_for_a_gateway(limited: server.Server) -> None:
    size = 3 * 1024 * 1024 + 5
    with pytest.raises(TooLarge) as raised:
        await limited.client.upload("PUT", "api/2.0/mlflow-artifacts/artifacts/a.bin", b"a" * size, size)
    assert raised.value.definite and not raised.value.worth_repeating and not raised.value.temporary
    assert "3,145,733 bytes" in raised.value.problem
    assert "gateway of the destination" in raised.value.remedy
    assert "client_max_body_size" in raised.value.remedy and "4m would do" in raised.value.remedy


async def test_an_address_that_is_too_long_for_a_gateway(limited: server.Server) -> None:
    with pytest.raises(Refused) as raised:
        await limited.get("registered-models/get", dict[str, object], {"name": "a" * 3000})
    assert "414" in raised.value.problem
    assert "gateway of the destination" in raised.value.remedy
    assert "large_client_header_buffers" in raised.value.remedy
