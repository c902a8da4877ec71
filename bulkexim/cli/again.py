"""The command that is running, as it was typed, for sentences that name the next one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from bulkexim.cli.paper import say
from bulkexim.cli.wrapped import cells, columns

#: Flags that are never repeated: the environment is the place for what they hold.
SECRETS = frozenset({"src_password", "src_token", "dst_password", "dst_token"})
#: Flags that every command between two servers has.
_OF_ENDS = re.compile(r"(src|dst)_|source_id$|work_dir$")
#: What begins a line after the first, and ends a line before the last: a shell takes them for one.
INDENT, ON = "    ", " \\"


@dataclass(frozen=True, slots=True)
class Invocation:
    """The flags of a command as they were given on the command line, by their names with underscores."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None

    def command(self, name: str, **more: object) -> list[str]:
        """Return another command with the same flags and ``more``, word by word, as a shell takes it.

        ``sweep`` takes those that say which servers are meant, any other command all of them. Secrets are left out.
        """
        given = {"config": self.config, **self.flags, **more}
        taken = {
            flag: value
            for flag, value in given.items()
            if value not in (None, False)
            and flag not in SECRETS
            and (name != "sweep" or flag in {*more, "config"} or _OF_ENDS.match(flag))
        }
        words = ["bulkexim", name]
        for flag, value in taken.items():
            words.append(f"--{flag.replace('_', '-')}")
            words += [] if value is True else [shlex.quote(_without_login(str(value)))]
        return words

    @property
    def secrets(self) -> list[str]:
        """The flags that `command` left out."""
        return [f"--{flag.replace('_', '-')}" for flag in sorted(SECRETS) if self.flags.get(flag)]


class Advice(NamedTuple):
    """What to do next: a sentence, and the ``words`` of a command, if there is one to be copied."""

    text: str
    words: Sequence[str] = ()


def say_advice(console: Console, advice: Advice, secrets: Sequence[str] = ()) -> None:
    """Print what to do next; ``secrets`` are flags that have to be given besides."""
    say(console, advice.text)
    if advice.words:
        _say_command(console, advice.words)
        if secrets:
            say(console, f"    (and {', '.join(secrets)}, as before)")


def _say_command(console: Console, words: Sequence[str]) -> None:
    """Print a command so that it can be copied: on one line, or on several that a shell takes for one."""
    width = columns(console.file)  # type: ignore[arg-type]  # a stream
    lines = [INDENT + words[0]]
    for word in words[1:]:
        if width is not None and cells(lines[-1]) + 1 + cells(word) + len(ON) > width:
            lines[-1] += ON
            lines.append(INDENT * 2 + word)
        else:
            lines[-1] += f" {word}"
    console.print("\n".join(lines), soft_wrap=True)


def _without_login(value: str) -> str:
    return re.sub(r"(?<=://)[^/?#@]*@", "", value)
