"""Which files a request can name: what a server of each MLflow makes of a path.

Since 2.9.2 a server goes on decoding every path that it is sent until it stays the same; since 2.12.2 it also takes it
for an address, which loses an empty query or fragment and some characters; since 2.20.0 it writes control characters as
percent signs. So ``lr%20high`` is another file there: ``lr high``. (``_decode`` and ``validate_path_is_safe`` of
``mlflow.utils.uri``, read from the releases 1.30.1 to 3.17.2, and tried on servers of eight of them.)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PureWindowsPath
from urllib.parse import unquote, urlparse, urlunparse

from bulkexim.ends.capabilities import Capabilities
from bulkexim.ends.server import Server

#: What a path is to a server; ``None`` where it declines the path.
_Rule = Callable[[str], str | None]

#: How often a server decodes at most.
_ROUNDS = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: A path without any of these, and without a blank in front, is the same under every rule.
_PLAIN = re.compile(r"[^ %#?;:\\\x00-\x1f\x7f][^%#?;:\\\x00-\x1f\x7f]*")
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?[\w.+-]*")


def taken_for(path: str, capabilities: Capabilities) -> str | None:
    """Return the path that a server takes ``path`` for, ``None`` if for none; ``path`` itself where it can be named.

    A server that does not tell its release may follow several rules, so all of them must agree.
    """
    if _PLAIN.fullmatch(path):
        return path
    return next((other for rule in _rules(capabilities) if (other := rule(path)) != path), path)


def _rules(capabilities: Capabilities) -> list[_Rule]:
    """Return the rules that a server may follow."""
    told = _RELEASE.fullmatch(capabilities.text)
    # Where it is not told, the version is the oldest that the server can be.
    release = tuple(int(part or 0) for part in told.groups()) if told else capabilities.version
    begun = sum(first <= release for first, _ in _SINCE)
    return [rule for _, rule in _SINCE[begun - 1 : begun if told else None]]


def _as_it_is(path: str) -> str | None:
    return None if ".." in path.split("/") or path.startswith("/") else path


def _checked(path: str) -> str | None:
    return None if PureWindowsPath(path).is_absolute() else _as_it_is(path)


def _decoded(path: str) -> str | None:
    return _accepted(_settled(path, unquote))


def _as_address(path: str) -> str | None:
    return _accepted(_settled(path, _address))


def _as_escaped_address(path: str) -> str | None:
    settled = _settled(path, _address)
    return _accepted(settled and _CONTROL.sub(lambda found: f"%{ord(found[0]):02x}", settled))


def _address(path: str) -> str:
    return urlunparse(urlparse(unquote(path)))


def _settled(path: str, decode: Callable[[str], str]) -> str | None:
    """Return a path when decoding does not change it any more; ``None`` where a server gives up."""
    for _ in range(_ROUNDS):
        try:
            decoded = decode(path)
        except ValueError:
            return None
        if decoded == path:
            return path
        path = decoded
    return None


def _accepted(path: str | None) -> str | None:
    return None if path is None or "#" in path or path.startswith("file:") else _checked(path)


#: The first release with each rule, in order.
_SINCE: tuple[tuple[tuple[int, ...], _Rule], ...] = (
    ((0, 0, 0), _as_it_is),
    ((2, 5, 0), _checked),
    ((2, 9, 2), _decoded),
    ((2, 12, 2), _as_address),
    ((2, 20, 0), _as_escaped_address),
)


def name_problem(server: Server, path: str, root: str = "") -> str:
    """Return why a request for ``path`` below ``root`` would not reach that file or folder; nothing where it would.

    What is written below a root goes where it is read from, whatever the server takes the root for.
    """
    capabilities, before = server.capabilities, f"{root}/" if root else ""
    home = taken_for(root, capabilities) if root else ""
    other = taken_for(before + path, capabilities)
    wanted = f"{home}/" if home else ""
    if other == wanted + path:
        return ""
    who = f"the {server.client.name} (MLflow {capabilities.text})"
    if other is None:
        return f"{who} accepts no such name in a request"
    return f"{who} takes this name in a request for {other.removeprefix(wanted)!r}"
