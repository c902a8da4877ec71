"""Text that stands cut at the destination, for its database does not take all of it, and whole in tags.

A text that is too long stands in pieces under ``bulkexim.long.<what>.<number>.<key>``; one with NUL characters as a
JSON string, under ``bulkexim.long.json.<what>.<number>.<key>``. ``<what>`` is the field, ``<key>`` tells texts of one
field apart. Where it belongs it may stand cut; a key or a name that was cut may end in its digest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b

import msgspec

from bulkexim.ids import PREFIX

#: Characters of a key that MLflow takes.
LONGEST_KEY = 250
#: Characters that a field of MLflow holds: one that was cut has so many.
_LENGTHS = frozenset({32, 36, 250, 255, 256, 500, 5000, 6000, 8000, 20_000, 65_535, 100_000, 1_048_575, 16_777_215})
NUL = "\0"


def whole(what: str, value: str, tags: Mapping[str, str], key: str = "") -> str:
    """Return a text of the destination as it was before it was cut, if its tags keep it whole."""
    copy = copied(what, tags, key)
    return copy if copy is not None and is_cut(value, copy) else value


def whole_pairs(what: str, pairs: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags, or params, of the destination as they were before keys and values were cut."""
    found: dict[str, str] = {}
    for cut_key, value in pairs.items():
        key = whole(f"{what}_key", cut_key, tags, cut_key[-32:])
        found[key] = whole(what, value, tags, key)
    return found


def copied(what: str, tags: Mapping[str, str], key: str = "") -> str | None:
    """Return what the tags of an object keep whole of one field."""
    for form in ("", "json."):
        end = f".{key}" if key else ""
        pieces: list[str] = []
        while (piece := tags.get(fitting(f"{PREFIX}long.{form}{what}.{len(pieces)}{end}"))) is not None:
            pieces.append(piece)
        if pieces:
            return _decoded("".join(pieces)) if form else "".join(pieces)
    return None


def is_cut(value: str, text: str) -> bool:
    """Return whether a value is what may have become of a text."""
    plain = text.replace(NUL, "")
    if value == plain[: len(value)] and len(value) in {*_LENGTHS, len(plain)}:
        return True
    beginning, dot, end = value.rpartition(".")
    return bool(dot) and end == _digest(text) and plain.startswith(beginning)


def uncut(value: str, texts: Collection[str]) -> str:
    """Return the one of some texts from which a value was cut, or the value."""
    return value if value in texts else next((text for text in texts if is_cut(value, text)), value)


def fitting(key: str, limit: int = LONGEST_KEY) -> str:
    """Return a key as MLflow takes it."""
    if len(key) <= limit and NUL not in key:
        return key
    return f"{key.replace(NUL, '')[: limit - 33]}.{_digest(key)}"


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _decoded(text: str) -> str | None:
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return None
