"""Text of a server's making, as a terminal may show it."""

from __future__ import annotations


def visible(line: str) -> str:
    """Return a line in which control characters are seen, not obeyed: no name may repaint a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def visible_lines(text: str) -> str:
    """Return a text of several lines likewise."""
    return "\n".join(map(visible, text.split("\n")))
