"""The tags of two objects, raw: every one of the source is expected, under the name and in the pieces that carry it.

How bulkexim keeps what MLflow would not take as it is (README, "What is carried"):

* what an earlier migration wrote (``bulkexim.<name>``) stands under ``bulkexim.origin.<n>.<name>``, and what stands
  there already stays; ``n`` is one more than the highest that the object has;
* text that is too long is kept whole beside it (`bulkexim.kinds.compare.cut`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from bulkexim.ids import PREFIX
from bulkexim.kinds.compare.cut import copied, fitting, whole_pairs
from bulkexim.kinds.compare.masks import BY_LOOKING, MOVING, OF_THE_MOVE
from bulkexim.kinds.compare.records import Tag

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


def original(tags: Iterable[Tag], name: str) -> str:
    """Return what a tag keeps of the source, such as its name, whole where the tag is cut."""
    held = {tag.key: tag.value for tag in tags}
    return copied("tag", held, KEPT + name) or held.get(KEPT + name, "")


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
    there |= {key: copy for key in wanted.keys() - there.keys() if (copy := copied("tag", found, key)) is not None}
    return wanted, there
