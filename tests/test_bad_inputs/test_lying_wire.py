"""Replies that are no proper HTTP, or that lead elsewhere: lengths, encodings, redirects, statuses and headers."""

import gzip
from collections.abc import Awaitable, Callable

import pytest

from tests.test_bad_inputs.liar import Liar
from tests.test_bad_inputs.test_lying_replies import told
from tests.test_bad_inputs.told import SECRET, Surroundings
from tests.tiny_server import Seen, Wire

RUNS = "src POST runs/search"

#: What is sent in place of a reply, byte for byte, before the connection is closed.
RAW = {
    "nothing": b"",
    "half a status": b"HTTP/1.1 20",
    "no status": b"HTTP/1.1\r\n\r\n",
    "status of letters": b"HTTP/1.1 OK 200\r\n\r\n",
    "status 0": b"HTTP/1.1 000 Nothing\r\ncontent-length: 2\r\n\r\n{}",
    "status -1": b"HTTP/1.1 -1 Less\r\ncontent-length: 2\r\n\r\n{}",
    "status 99999": b"HTTP/1.1 99999 Much\r\ncontent-length: 2\r\n\r\n{}",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a mail server": b"220 mail.example.org ESMTP\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "zeros": b"\x00" * 1000,
    "half a header": b"HTTP/1.1 200 OK\r\ncontent-len",
    "header without a colon": b"HTTP/1.1 200 OK\r\ncontent length\r\n\r\n{}",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nx-a: \x00\r\ncontent-length: 2\r\n\r\n{}",
    "header of a megabyte": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 1_000_000 + b"\r\n\r\n{}",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 100_000,
    "body cut off": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
    "body longer than said": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{}",
    "length of letters": b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}",
    "length below zero": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
    "huge length": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "chunk cut off": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{}",
    "chunk of letters": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "huge chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}",
    "only a promise": b"HTTP/1.1 100 Continue\r\n\r\n",
    "another protocol agreed": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
}

#: Whole replies: status, headers, body.
REPLIES = {
    "204": ("204 No Content", [], b""),
    "205": ("205 Reset Content", [], b""),
    "206 half": ("206 Partial Content", ["content-range: bytes 0-1/100"], b'{"'),
    "304": ("304 Not Modified", [], b""),
    "300": ("300 Multiple Choices", [], b""),
    "301": ("301 Moved", ["location: https://elsewhere.example.org/"], b""),
    "302 with a login": ("302 Found", [f"location: https://bob:{SECRET}@elsewhere.example.org/?token={SECRET}"], b""),
    "307": ("307 Temporary Redirect", ["location: //elsewhere.example.org"], b""),
    "308 to a file": ("308 Permanent Redirect", ["location: file:///etc/passwd"], b""),
    "302 to nowhere": ("302 Found", [], b""),
    "302 to no address": ("302 Found", ["location: http://[::1"], b""),
    "302 to a bad port": ("302 Found", ["location: http://host:port/"], b""),
    "302 to itself": ("302 Found", ["location: ?"], b""),
    "401": ("401 Unauthorized", ["www-authenticate: Basic"], b""),
    "403": ("403 Forbidden", [], b"<html>no</html>"),
    "407": ("407 Proxy Authentication Required", [], b""),
    "418": ("418 I'm a teapot", [], b"short and stout"),
    "404 page": ("404 Not Found", [], b"<html>no</html>"),
    "405": ("405 Method Not Allowed", [], b""),
    "413": ("413 Content Too Large", [], b""),
    "429 for ever": ("429 Too Many Requests", ["retry-after: 1e400"], b""),
    "429 for a century": ("429 Too Many Requests", ["retry-after: 3155760000"], b""),
    "429 nan": ("429 Too Many Requests", ["retry-after: nan"], b""),
    "429 yesterday": ("429 Too Many Requests", ["retry-after: -1"], b""),
    "429 some day": ("429 Too Many Requests", ["retry-after: Mon, 99 Jan 2026 00:00:00 GMT"], b""),
    "500": ("500 Internal Server Error", [], b"Traceback (most recent call last): ..."[10:]),
    "501": ("501 Not Implemented", [], b""),
    "502": ("502 Bad Gateway", [], b"<html></html>"),
    "503": ("503 Service Unavailable", [], b""),
    "599": ("599 Unknown", [], b""),
    "error of other types": ("400 Bad Request", [], b'{"error_code": [], "message": {}}'),
    "error of no text": ("400 Bad Request", [], b'{"error_code": null, "message": null}'),
    "error without end": ("400 Bad Request", [], b'{"error_code":' + b"[" * 100_000),
    "error with escapes": ("400 Bad Request", [], b'{"error_code": "X", "message": "\\u001b[2J\\u0000\\r"}'),
    "error of a megabyte": ("400 Bad Request", [], b'{"error_code": "X", "message": "' + b"a" * 1_000_000 + b'"}'),
    "error code of a megabyte": ("400 Bad Request", [], b'{"error_code": "' + b"A" * 1_000_000 + b'", "message": ""}'),
    "gzip that is none": ("200 OK", ["content-encoding: gzip"], b"{}"),
    "gzip cut off": ("200 OK", ["content-encoding: gzip"], gzip.compress(b'{"runs": []}')[:-14]),
    "gzip of other things": ("200 OK", ["content-encoding: gzip"], gzip.compress(b"\x00" * 10_000_000)),
    "gzip twice": ("200 OK", ["content-encoding: gzip, gzip"], gzip.compress(b"{}")),
    "deflate that is none": ("200 OK", ["content-encoding: deflate"], b"{}"),
    "charset of nobody": ("200 OK", ["content-type: text/html; charset=no-such"], b"<html>"),
    "charset of nobody, failing": ("503 Service Unavailable", ["content-type: text/html; charset=no-such"], b"\xff"),
    "escapes in the type": ("200 OK", ["content-type: \x1b[2J"], b"<html>"),
    "type of 7 kilobytes": ("200 OK", ["content-type: " + "a" * 7000], b"<html>"),
}


def sending(content: bytes) -> Callable[[Seen, Wire], Awaitable[None]]:
    """Returns a lie that sends bytes as they are and closes the connection."""

    async def send(_seen: Seen, wire: Wire) -> None:
        await wire.stream.send(content)
        await wire.stream.aclose()

    return send


def replying(status: str, headers: list[str], body: bytes) -> Callable[[Seen, Wire], Awaitable[None]]:
    """Returns a lie that is a whole reply."""
    return lambda _seen, wire: wire.reply(body, status, *headers)


@pytest.mark.parametrize("reply", RAW)
def test_a_reply_that_is_no_http(liar: Liar, surroundings: Surroundings, reply: str) -> None:
    liar.lying({RUNS: sending(RAW[reply])})
    told(liar, surroundings)


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_that_means_something_else(liar: Liar, surroundings: Surroundings, reply: str) -> None:
    liar.lying({RUNS: replying(*REPLIES[reply])})
    told(liar, surroundings)


@pytest.mark.parametrize(
    "reply", ["nothing", "half a header", "TLS", "body cut off", "headers without end", "two lengths"]
)
@pytest.mark.parametrize("side", ["src", "dst"])
def test_a_server_that_is_none(liar: Liar, surroundings: Surroundings, side: str, reply: str) -> None:
    liar.lying({f"{side} *": sending(RAW[reply]), f"{side} GET version": sending(RAW[reply])})
    told(liar, surroundings, codes=(5, 7))


@pytest.mark.parametrize(
    "version", ["", "three", "<html>", "3", "v3.1", "\x1b[2J", "99" * 5000 + ".1", "-1.0", "\u0663.\u0661"]
)
@pytest.mark.parametrize("side", ["src", "dst"])
def test_a_version_that_is_none_is_told_and_found_out_by_the_routes(
    liar: Liar, surroundings: Surroundings, side: str, version: str
) -> None:
    liar.lying({f"{side} GET version": version.encode()})
    assert "does not say which MLflow it is" in told(liar, surroundings, codes=(0,))


@pytest.mark.parametrize("tokens", ["the same", "two in turn"])
@pytest.mark.parametrize("route", [RUNS, "src GET registered-models/search", "src POST experiments/search"])
def test_pages_that_never_end(liar: Liar, surroundings: Surroundings, route: str, tokens: str) -> None:
    async def page(seen: Seen, wire: Wire) -> None:
        number = len(liar.seen) % 2 if tokens == "two in turn" else 0
        await wire.reply(b'{"next_page_token": "page %d"}' % number)

    liar.lying({route: page})
    told(liar, surroundings, codes=(7,))
    assert len(liar.seen) < 60
