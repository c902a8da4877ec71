"""The aiohttp transport, against a real server on loopback that does what a proper one would not."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from bulkexim.http.transport import CHUNK_BYTES, OWN_CONNECTION, AiohttpTransport
from tests.support.ports import free_port
from tests.tiny_server import Seen, Wire, serving

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client over the transport, with nothing of its own."""
    async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=httpx.Timeout(20.0), trust_env=False) as client:
        yield client


async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    """Yield a body piece by piece."""
    for piece in pieces:
        await checkpoint()
        yield piece


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a%20b", "/a%20b"),
        ("/what%3F", "/what%3F"),
        ("/100%25", "/100%25"),
        ("/twice%2520quoted", "/twice%2520quoted"),
        ("/a%2Fb", "/a%2Fb"),
        ("/hash%23", "/hash%23"),
        ("/semi;colon=+&x", "/semi;colon=+&x"),
        ("/%C3%A4", "/%C3%A4"),
        ("/ä", "/%C3%A4"),
        ("/..%2Fup", "/..%2Fup"),
        ("/list?path=a%2Fb%20c&path=%2B", "/list?path=a%2Fb%20c&path=%2B"),
    ],
)
async def test_a_path_arrives_as_it_was_quoted(http: httpx.AsyncClient, path: str, target: str) -> None:
    async with serving() as server:
        await http.get(server.url(path))
        assert [seen.target for seen in server.seen] == [target]


async def test_parameters_arrive_quoted_once(http: httpx.AsyncClient) -> None:
    async with serving() as server:
        await http.get(server.url(), params=[("path", "ä b/c%20+&")])
        (seen,) = server.seen
        assert httpx.URL(server.url(seen.target)).params["path"] == "ä b/c%20+&"


async def test_nothing_listening_is_a_connect_error(http: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ConnectError):
        await http.get(f"http://127.0.0.1:{free_port()}/")


async def test_a_name_that_does_not_exist_is_a_connect_error(http: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ConnectError):
        await http.get("http://no-such-host.invalid/")


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
async def test_a_connection_that_closes_before_the_reply_may_have_carried_the_call_out(
    http: httpx.AsyncClient, method: str
) -> None:
    async def close(seen: Seen, wire: Wire) -> None:
        await wire.stream.aclose()

    async with serving(close) as server:
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await http.request(method, server.url())
        assert not isinstance(raised.value, httpx.ConnectError)


async def test_a_post_is_never_sent_twice_by_the_transport(http: httpx.AsyncClient) -> None:
    async def close_the_second(seen: Seen, wire: Wire) -> None:
        if len(server.seen) == 1:
            await wire.reply()
        else:
            await wire.stream.aclose()

    async with serving(close_the_second) as server:
        await http.post(server.url(), content=b"one")
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(server.url(), content=b"two")
        assert [(seen.body, seen.connection) for seen in server.seen] == [(b"one", 1), (b"two", 1)]


async def test_a_streamed_body_is_sent_whole_or_reported_as_lost(http: httpx.AsyncClient) -> None:
    async def close_the_second(seen: Seen, wire: Wire) -> None:
        if len(server.seen) == 2:
            await wire.stream.aclose()
        else:
            await wire.reply()

    async with serving(close_the_second) as server:
        for body in (b"first", b"second"):
            with anyio.fail_after(10.0):
                try:
                    await http.put(server.url(), content=in_pieces(body), headers={"content-length": str(len(body))})
                except httpx.RemoteProtocolError:
                    assert body == b"second"
        assert {seen.body for seen in server.seen} == {b"first", b"second"}


async def test_a_reply_that_is_no_http_is_a_protocol_error(http: httpx.AsyncClient) -> None:
    async def nonsense(seen: Seen, wire: Wire) -> None:
        await wire.stream.send(b"220 mail.example ESMTP\r\n\r\n")

    async with serving(nonsense) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(server.url())


@pytest.mark.parametrize("framing", ["content-length: 100", "transfer-encoding: chunked"])
async def test_a_body_that_is_cut_short_is_a_read_error(http: httpx.AsyncClient, framing: str) -> None:
    async def cut(seen: Seen, wire: Wire) -> None:
        await wire.stream.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\na\r\nten bytes\r\n".encode())
        await wire.stream.aclose()

    async with serving(cut) as server:
        with pytest.raises(httpx.ReadError):
            await http.get(server.url())


async def test_a_silent_server_is_a_read_timeout() -> None:
    async def silence(seen: Seen, wire: Wire) -> None:
        await anyio.sleep_forever()

    async with serving(silence) as server, httpx.AsyncClient(transport=AiohttpTransport(), timeout=0.05) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.post(server.url())


async def test_a_server_that_falls_silent_in_the_body_is_a_read_timeout() -> None:
    async def half(seen: Seen, wire: Wire) -> None:
        await wire.stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await anyio.sleep_forever()

    async with serving(half) as server, httpx.AsyncClient(transport=AiohttpTransport(), timeout=0.05) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(server.url())


@pytest.mark.parametrize("content", [b"", None])
async def test_an_empty_body_says_that_it_is_empty(http: httpx.AsyncClient, content: bytes | None) -> None:
    async with serving() as server:
        await http.put(server.url(), content=content, headers={"content-length": "0"})
        (seen,) = server.seen
        assert seen.headers["content-length"] == "0"
        assert "transfer-encoding" not in seen.headers


async def test_a_streamed_body_with_a_length_is_not_chunked(http: httpx.AsyncClient) -> None:
    async with serving() as server:
        await http.put(server.url(), content=in_pieces(b"one ", b"", b"two"), headers={"content-length": "7"})
        (seen,) = server.seen
        assert seen.body == b"one two"
        assert "transfer-encoding" not in seen.headers


async def test_only_our_own_headers_are_sent() -> None:
    headers = {"authorization": "Basic eA==", "x-mlflow-workspace": "team"}
    async with serving() as server, AiohttpTransport() as transport:
        request = httpx.Request("POST", server.url(), headers=headers, content=b"{}")
        await (await transport.handle_async_request(request)).aread()
        (seen,) = server.seen
        assert seen.headers.items() >= headers.items()
        assert seen.headers.keys() - headers.keys() == {"host", "content-length"}


async def test_cookies_are_not_kept() -> None:
    async def with_cookie(seen: Seen, wire: Wire) -> None:
        await wire.reply(b"", "200 OK", "set-cookie: session=1; Path=/")

    async with serving(with_cookie) as server, AiohttpTransport() as transport:
        for _ in range(2):
            response = await transport.handle_async_request(httpx.Request("GET", server.url()))
            await response.aread()
            assert response.headers["set-cookie"] == "session=1; Path=/"
        assert all("cookie" not in seen.headers for seen in server.seen)


async def test_redirects_are_not_followed(http: httpx.AsyncClient) -> None:
    async def elsewhere(seen: Seen, wire: Wire) -> None:
        await wire.reply(b"", "307 Temporary Redirect", "location: /elsewhere")

    async with serving(elsewhere) as server:
        response = await http.post(server.url(), content=b"{}")
        assert (response.status_code, response.headers["location"]) == (307, "/elsewhere")
        assert [seen.target for seen in server.seen] == ["/"]


async def test_a_connection_is_used_again(http: httpx.AsyncClient) -> None:
    async with serving() as server:
        for _ in range(5):
            assert (await http.get(server.url())).text == "fine"
        assert server.connections == 1


async def test_a_request_can_have_a_connection_of_its_own_beside_those_that_are_kept(http: httpx.AsyncClient) -> None:
    async with serving() as server:
        for _ in range(3):
            assert (await http.get(server.url())).text == "fine"
            assert (await http.get(server.url(), extensions={OWN_CONNECTION: True})).text == "fine"
        assert server.connections == 1 + 3


async def test_a_connection_whose_body_was_not_read_is_not_used_again(http: httpx.AsyncClient) -> None:
    async def big(seen: Seen, wire: Wire) -> None:
        await wire.reply(seen.target.encode() * MEBIBYTE)

    async with serving(big) as server:
        async with http.stream("GET", server.url("/a")) as response:
            assert response.status_code == 200
        assert set((await http.get(server.url("/b"))).text) == {"/", "b"}
        assert server.connections == 2


async def test_a_failure_of_the_body_that_is_sent_can_be_told_from_the_error(http: httpx.AsyncClient) -> None:
    class Unreadable(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise Unreadable

    async with serving() as server:
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await http.put(server.url(), content=broken(), headers={"content-length": "8"})
        assert raised.value.__cause__ is not None
        assert isinstance(raised.value.__cause__.__cause__, Unreadable)
        assert (await http.get(server.url())).text == "fine"


async def test_cancelled_requests_leave_nothing_behind(http: httpx.AsyncClient) -> None:
    chance = random.Random(20)

    async def echo(seen: Seen, wire: Wire) -> None:
        for _ in range(chance.randrange(4)):
            await checkpoint()
        await wire.reply(seen.target.encode() * chance.randrange(1, 20_000))

    async def request(number: int, body: bytes | None) -> str:
        response = await http.put(server.url(f"/{number}"), content=body)
        return response.text

    async def cancelled(number: int) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                body = bytes(chance.randrange(200_000)) if chance.random() < 0.5 else None
                tasks.start_soon(request, number, body)
                for _ in range(chance.randrange(40)):
                    await checkpoint()
                scope.cancel()

    async with serving(echo) as server:
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(cancelled, number)
        answered: list[str] = []

        async def kept(number: int) -> None:
            answered.append(await request(number, b"x"))

        with anyio.fail_after(30.0):
            async with anyio.create_task_group() as tasks:
                for number in range(1000, 1050):
                    tasks.start_soon(kept, number)
        # Each got the reply to its own request, not one that was left on a connection.
        assert {text[:5] for text in answered} == {f"/{number}" for number in range(1000, 1050)}
        assert all(set(text.split("/")) == {"", text[1:5]} for text in answered)


async def test_a_client_that_is_cancelled_closes_every_session() -> None:
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))

    async def cancelled(url: str) -> None:
        async with httpx.AsyncClient(transport=AiohttpTransport(), trust_env=False) as client:
            for extensions in ({OWN_CONNECTION: True}, {}):
                await client.send(client.build_request("GET", url, extensions=extensions))
            scope.cancel()
            await checkpoint()

    async with serving() as server:
        with anyio.CancelScope() as scope:
            await cancelled(server.url())
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []


async def test_large_bodies_pass_in_bounded_memory(http: httpx.AsyncClient) -> None:
    size = 48 * MEBIBYTE
    block = bytes(MEBIBYTE)

    async def send_much(seen: Seen, wire: Wire) -> None:
        await wire.stream.send(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        for _ in range(size // MEBIBYTE):
            await wire.stream.send(block)

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(size // MEBIBYTE):
            yield block

    async with serving(send_much, count_only=True) as server:
        await http.get(server.url("/warm"))
        tracemalloc.start()
        try:
            headers = {"content-length": str(size)}
            async with http.stream("PUT", server.url(), content=blocks(), headers=headers) as response:
                received, largest = 0, 0
                async for chunk in response.aiter_raw():
                    received += len(chunk)
                    largest = max(largest, len(chunk))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert received == server.seen[-1].body == size
        assert largest <= 2 * CHUNK_BYTES
        assert peak < size / 4
