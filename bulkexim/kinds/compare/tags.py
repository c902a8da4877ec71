"""The tags of two objects, raw: every one of the source is expected, under the name and in the pieces that carry it.

How bulkexim keeps what MLflow would not take as it is (README, "What is carried"):

* what an earlier migration wrote (``bulkexim.<name>``) stands under ``bulkexim.origin.<n>.<name>``, and what stands
  there already stays; ``n`` is one more than the highest that the object has;
* a text that is too long stands whole, in pieces, under ``bulkexim.long.<what>.<number>.<key>``; with NUL characters in
  it as a JSON string, under ``bulkexim.long.json.<what>.<number>.<key>``. Where it belongs it may stand cut;
* a key that is too long ends in its digest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b

import msgspec

from bulkexim.ids import PREFIX
from bulkexim.kinds.compare.masks import BY_LOOKING, MOVING, OF_THE_MOVE
from bulkexim.kinds.compare.records import Tag

#: Characters of a key that MLflow takes.
_LONGEST_KEY = 250
#: Characters that a field of MLflow holds: one that was cut has so many.
_LENGTHS = frozenset({32, 36, 250, 255, 256, 500, 5000, 6000, 8000, 20_000, 65_535, 100_000, 1_048_575, 16_777_215})
_HOP = re.compile(re.escape(f"{PREFIX}origin.") + r"(\d+)\.")
KEPT = f"{PREFIX}source."


def carried(tags: Iterable[Tag]) -> dict[str, str]:
    """Return the tags of an object of the source, by the keys that they should have at the destination."""
    held = {tag.key: tag.value for tag in tags}
    hops = [int(found[1]) for key in held if (found := _HOP.match(key))]
    before = f"{PREFIX}origin.{max(hops, default=0) + 1}."
    return {
        fitting(before + key.removeprefix(PREFIX)) if key.startswith(PREFIX) and not _HOP.match(key) else key: value
        for key, value in held.items()
    }


def kept(**values: object) -> dict[str, str]:
    """Return the tags that keep what MLflow's API cannot set; of what is empty nothing is kept."""
    return {KEPT + key: str(value) for key, value in values.items() if value is not None and value != ""}


def whole(what: str, value: str, tags: Mapping[str, str], key: str = "") -> str:
    """Return a value of the destination as it was before it was cut, if ``tags`` keep it whole.

    ``what`` is the field, such as ``tag``, and ``key`` tells values of one field apart.
    """
    copy = _joined(f"{what}", key, tags)
    if copy is None and (coded := _joined(f"json.{what}", key, tags)) is not None:
        copy = _decoded(coded)
    if copy is None:
        return value
    plain = copy.replace("\0", "")
    is_cut = value == plain[: len(value)] and len(value) in {*_LENGTHS, len(plain)}
    return copy if is_cut else value


def _joined(what: str, key: str, tags: Mapping[str, str]) -> str | None:
    pieces: list[str] = []
    end = f".{key}" if key else ""
    while (piece := tags.get(fitting(f"{PREFIX}long.{what}.{len(pieces)}{end}"))) is not None:
        pieces.append(piece)
    return "".join(pieces) if pieces else None


def _decoded(text: str) -> str | None:
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return None


def whole_pairs(what: str, pairs: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """Return keys and values of the destination as they were before they were cut."""
    return {
        whole(f"{what}_key", key, tags, key): whole(what, value, tags, whole(f"{what}_key", key, tags, key))
        for key, value in pairs.items()
    }


def fitting(key: str) -> str:
    """Return a key as MLflow takes it."""
    if len(key) <= _LONGEST_KEY and "\0" not in key:
        return key
    end = blake2b(key.encode(), digest_size=16).hexdigest()
    return f"{key.replace(chr(0), '')[: _LONGEST_KEY - len(end) - 1]}.{end}"


def tag_facts(
    expected: Mapping[str, str], found: Mapping[str, str], *, unseen: Collection[str] = (), others: bool = True
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tags of both sides that are compared.

    ``unseen`` are keys that MLflow keeps by itself. With ``others``, tags that only the destination has count too,
    unless they are bulkexim's: one that kept something which has arrived since may stay.
    """
    left_out = OF_THE_MOVE | MOVING | set(unseen)
    wanted = {key: value for key, value in expected.items() if key not in left_out}
    held = whole_pairs("tag", found, found)
    there = {
        key: value
        for key, value in held.items()
        if key not in left_out and (key in wanted or (others and not key.startswith(PREFIX) and key not in BY_LOOKING))
    }
    # Of a value that holds JSON, half would help nobody: it may stand in pieces alone.
    there |= {key: copy for key in wanted.keys() - there.keys() if (copy := _joined("tag", key, found))}
    return wanted, there
