"""Which view of the progress is shown on stderr, and how it is kept going."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread

from rich.console import Console

from bulkexim.cli.paper import say
from bulkexim.cli.phases import Phases
from bulkexim.cli.plain import Plain
from bulkexim.cli.progress import live
from bulkexim.ends.server import Server
from bulkexim.engine import events

#: Seconds between two looks whether something is to be said.
TICK = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: ``listeners`` feed it, and `connect` lets it show the traffic of servers, once there are some."""

    listeners: Sequence[events.Listener]
    phases: Phases

    def connect(self, servers: Sequence[Server]) -> None:
        """Show the traffic of these servers."""
        self.phases.connect(servers)


@dataclass(slots=True)
class Views:
    """The views of one command, one after the other, each as ``progress`` says.

    It is a listener for what outlives a view, such as a server: it passes events on to the view that is shown.
    """

    progress: str
    _shown: View | None = None

    @contextmanager
    def show(self, servers: Sequence[Server] = ()) -> Iterator[View]:
        """Show a view while the block runs."""
        with view(self.progress, servers) as shown:
            self._shown = shown
            try:
                yield shown
            finally:
                self._shown = None

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        for listener in self._shown.listeners if self._shown else ():
            listener(event)


@contextmanager
def view(progress: str, servers: Sequence[Server] = ()) -> Iterator[View]:
    """Show the progress on stderr while the block runs, as ``progress`` says; warnings in any case."""
    console = stderr()
    warn = warning_on(console)
    if progress in ("auto", "live"):
        progress = "live" if console.is_terminal and not console.is_dumb_terminal else "plain"
    if progress == "live":
        with live(console) as phases:
            shown = View([warn, _answers_on(console), phases], phases)
            shown.connect(servers)
            yield shown
    elif progress == "plain":
        plain = Plain(saying(console))
        plain.phases.connect(servers)
        with _ticking(plain):
            yield View([warn, plain], plain.phases)
    else:
        yield View([warn], Phases())


@contextmanager
def _ticking(plain: Plain) -> Iterator[None]:
    """Let a thread look at the clock, as the live view has one: it speaks also while the loop is kept busy."""
    ended = Event()

    def tick() -> None:
        while not ended.wait(TICK):
            plain.tick()

    thread = Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def warning_on(console: Console) -> events.Listener:
    """Return a listener that says warnings as they come."""

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Warned):
            say(console, f"bulkexim: warning: {event.text}")

    return listen


def _answers_on(console: Console) -> events.Listener:
    """Return a listener that says that a server answers again, when the view does not show its outage any more."""

    def listen(event: events.Event) -> None:
        if isinstance(event, events.OutageEnded):
            say(console, f"bulkexim: {event.text}")

    return listen


def outages_on(console: Console) -> events.Listener:
    """Return a listener that says when a server does not answer any more, and when it does again."""

    def listen(event: events.Event) -> None:
        if isinstance(event, events.OutageBegan | events.OutageEnded):
            say(console, f"bulkexim: {event.text}")

    return listen


def stderr() -> Console:
    """Return a console on stderr that prints names as they are."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def saying(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line."""
    return partial(say, console)
