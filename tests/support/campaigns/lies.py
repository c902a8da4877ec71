"""Replies in which a server repeats what it was sent, and other secrets, in all the forms that were ever seen."""

import html
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from itertools import cycle
from urllib.parse import quote

from tests.support.campaigns.canaries import Canaries
from tests.support.faults.teller import Request
from tests.support.faults.wire import Reply

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain")
PAGE = (b"content-type", b"text/html")
#: Headers in which somebody says who he is.
LOGINS = ("authorization", "x-plugin-token", "x-signature")


def _login(request: Request) -> tuple[str, str]:
    """The header with which a request is let in."""
    return next(((name, value) for name in LOGINS if (value := request.headers.get(name))), ("", "nothing"))


def _bare(request: Request) -> str:
    """A login as it was typed: the user and his password, or a token."""
    scheme, _, value = _login(request)[1].partition(" ")
    return b64decode(value).decode() if scheme == "Basic" else value or scheme


def _in_lines(text: str, end: str) -> str:
    return end.join(text[at : at + 20] for at in range(0, len(text), 20))


#: What a server says of a request, by the form in which it repeats the login.
ECHOES: Mapping[str, Callable[[Request], str]] = {
    "header": lambda request: "sent {}: {}".format(*_login(request)),
    "header in capitals": lambda request: "sent {}: {}".format(*map(str.upper, _login(request))),
    "all headers": lambda request: f"sent {request.headers}",
    "JSON": lambda request: json.dumps(json.dumps(request.headers)),
    "quoted": lambda request: quote("{}: {}".format(*_login(request)), safe=""),
    "bare": lambda request: f"not {_bare(request)}!",
    "password": lambda request: f"not {_bare(request).rpartition(':')[2]}!",
    "quoted password": lambda request: quote(_bare(request).rpartition(":")[2], safe=""),
    "page": lambda request: html.escape(_bare(request)),
    "Base64": lambda request: b64encode(_bare(request).encode()).decode(),
    "in lines": lambda request: _in_lines(_login(request)[1], "\n"),
    "in escaped lines": lambda request: _in_lines(_login(request)[1], "\\n"),
    "cut short": lambda request: "x " * 145 + _bare(request).rpartition(":")[2],
}


def addresses(canaries: Canaries) -> dict[str, str]:
    """Addresses that open storage to whoever has them."""
    secret = {name: quote(canaries[name], safe="") for name in ("s3 signature", "s3 token", "sas", "query", "userinfo")}
    amz = f"X-Amz-Security-Token={secret['s3 token']}&X-Amz-Signature={secret['s3 signature']}"
    return {
        "s3": f"https://bucket.s3.amazonaws.com/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&{amz}&X-Amz-Expires=9",
        "azure": f"https://account.blob.core.windows.net/key?sv=2024-11-04&sig={secret['sas']}&se=2030",
        "key": f"https://storage.example/key?AccessKey={secret['query']}&x=1",
        "token": f"https://storage.example/key?token={secret['query']}#x",
        "userinfo": f"https://ada:{secret['userinfo']}@storage.example/key",
    }


class Lies:
    """Gives another reply each time, until every form was told in every kind of reply."""

    def __init__(self, canaries: Canaries) -> None:
        self._forms = cycle([*ECHOES.items(), *((name, _naming(text)) for name, text in addresses(canaries).items())])
        self._canaries = canaries
        self._turns = {name: cycle(kinds) for name, kinds in KINDS.items()}
        self.told: set[tuple[str, str]] = set()

    def __call__(self, mood: str, request: Request) -> Reply | bytes:
        """The next reply of a server in the mood to decline, to fail, or to end it all."""
        form, say = next(self._forms)
        kind = next(self._turns[mood])
        self.told.add((kind.__name__, form))
        return kind(say(request), addresses(self._canaries))


def _naming(address: str) -> Callable[[Request], str]:
    return lambda _: f"no access to {address}"


def _declined(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(400, [JSON], json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": text}).encode())


def _gone(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(404, [JSON], json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": text}).encode())


def _secret_code(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(400, [JSON], json.dumps({"error_code": text, "message": ""}).encode())


def _plain(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(403, [TEXT], text.encode())


def _page(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(403, [PAGE], f"<html><body>{html.escape(text)}</body></html>".encode())


def _failed(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(500, [JSON], json.dumps({"error_code": "INTERNAL_ERROR", "message": text}).encode())


def _fails_in_words(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(500, [TEXT], text.encode())


def _odd_content(text: str, _: Mapping[str, str]) -> Reply:
    odd = " ".join(text.split()).encode("ascii", "replace")
    return Reply(200, [(b"content-type", odd)], text.encode())


def _broken(text: str, _: Mapping[str, str]) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{text}\r\n: {text}\x00\r\n\r\n".encode()


def _no_chunks(text: str, _: Mapping[str, str]) -> bytes:
    return f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{text}\r\n".encode()


def _redirected(text: str, known: Mapping[str, str]) -> Reply:
    return Reply(307, [(b"location", known["s3"].encode())], text.encode())


def _redirected_with_it(text: str, known: Mapping[str, str]) -> Reply:
    return Reply(302, [(b"location", f"/denied/{quote(text)}?{known['azure'].partition('?')[2]}".encode())], b"")


def _redirected_oddly(text: str, known: Mapping[str, str]) -> Reply:
    return Reply(302, [(b"location", known["userinfo"].replace("@storage.example", "").encode())], text.encode())


def _refused(text: str, _: Mapping[str, str]) -> Reply:
    return Reply(401, [JSON, (b"www-authenticate", b"Basic")], json.dumps({"message": text}).encode())


#: Kinds of replies by the mood of a server.
KINDS: Mapping[str, tuple[Callable[[str, Mapping[str, str]], Reply | bytes], ...]] = {
    "declining": (_declined, _gone, _secret_code, _plain, _page),
    "failing": (_failed, _fails_in_words, _odd_content, _broken, _no_chunks),
    "ending": (_redirected, _redirected_with_it, _redirected_oddly, _refused),
}
