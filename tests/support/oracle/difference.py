"""Compares two documents leaf by leaf."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SHOWN = 20
"""Differences shown for one object; the rest is counted."""


@dataclass(frozen=True)
class Either:
    """A leaf that may have any of several values; the first is the one it has now."""

    values: tuple[Any, ...]


def differences(expected: dict[str, dict[str, Any]], actual: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A line for each object that is missing or extra, and for each leaf that differs."""
    for label in sorted(expected.keys() | actual.keys()):
        if label not in actual:
            yield f"{label}: missing at the destination"
        elif label not in expected:
            yield f"{label}: extra at the destination"
        else:
            found = list(_leaves("", expected[label], actual[label]))
            yield from (f"{label}: {line}" for line in found[:SHOWN])
            if len(found) > SHOWN:
                yield f"{label}: and {len(found) - SHOWN} more differences"


def _leaves(path: str, expected: Any, actual: Any) -> Iterator[str]:
    actual = actual.values[0] if isinstance(actual, Either) else actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys(), key=str):
            at = f"{path} / {key}" if path else str(key)
            if key not in actual:
                yield f"{at}: missing, expected {_short(expected[key])}"
            elif key not in expected:
                yield f"{at}: extra, found {_short(actual[key])}"
            else:
                yield from _leaves(at, expected[key], actual[key])
    elif isinstance(expected, Either):
        if actual not in expected.values:
            yield f"{path}: expected one of {_short(expected.values)}, found {_short(actual)}"
    elif expected != actual:
        yield f"{path}: expected {_short(expected)}, found {_short(actual)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:150]}… ({len(text)} characters)"
