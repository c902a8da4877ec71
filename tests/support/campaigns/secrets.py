"""S1: secrets are given in every way and repeated by both servers in every form: no output and no file holds one."""

import itertools
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from anyio.lowlevel import checkpoint
from click.testing import CliRunner

from bulkexim.cli.main import main
from bulkexim.http import retry
from tests.support.campaigns.canaries import Canaries
from tests.support.campaigns.ground import Ground
from tests.support.campaigns.lies import KINDS, Lies, addresses
from tests.support.campaigns.logins import Login, installed, logins
from tests.support.faults.teller import Forward, Request, Teller, telling
from tests.support.faults.wire import Reply

#: Calls of which each belongs to one object, and may be repeated: their replies are lies.
OF_ONE_OBJECT = re.compile(r"/(runs/log-batch|mlflow-artifacts/artifacts|metrics/get-history)")
#: What any call may be told once the first ones got through.
ANY = re.compile(r"/(runs|logged-models|registered-models)/search")
#: Stands in the sources of versions of the tenant.
PLAIN_SOURCE = b"s3://bucket/x"
MOODS = ("truthful", *KINDS)


@dataclass(frozen=True)
class Searched:
    """What was looked through for secrets; ``leaks`` says where which one was found."""

    commands: int
    canaries: int
    places: int
    bytes: int
    masked: int
    """How often something was masked."""
    told: int
    """Pairs of a kind of reply and a form of a secret that were told."""
    cookies: tuple[str, ...]
    """Requests that brought a cookie back."""
    leaks: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Commands that ended otherwise than they should."""
    seconds: float


@dataclass
class _Search:
    home: Path
    canaries: Canaries
    lies: Lies
    mood: str = "truthful"
    commands: int = 0
    masked: int = 0
    cookies: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    work_dir: Path = Path()

    def source(self) -> str:
        """An address that opens storage, as the source of a version."""
        return addresses(self.canaries)["s3"].replace("https://bucket.s3.amazonaws.com", "s3://bucket")

    async def behave(self, request: Request, forward: Forward) -> Reply | bytes:
        """Answers for a server: in its mood where it is about one object, else the truth with a cookie."""
        if "cookie" in request.headers:
            self.cookies.append(f"{request.method} {request.target}")
        told = ANY if self.mood == "ending" else OF_ONE_OBJECT
        if self.mood != "truthful" and told.search(request.path):
            self.files("meanwhile")
            return self.lies(self.mood, request)
        reply = await forward()
        cookie = f"session={self.canaries['cookie']}; Path=/; Max-Age=999"
        body = reply.body
        if request.path.endswith("model-versions/search"):
            body = body.replace(PLAIN_SOURCE, self.source().encode())
        return Reply(reply.status, [*reply.headers, (b"set-cookie", cookie.encode())], body)

    def files(self, when: str) -> None:
        """Looks through everything in the work directory."""
        for path in sorted(self.work_dir.rglob("*")):
            if path.is_file():
                self.canaries.search(f"{self.work_dir.name}, {when}, {path.name}", path.read_bytes())

    def run(self, login: Login, *args: str, codes: Sequence[int]) -> None:
        """Runs a command and looks through what it said."""
        given = {"HOME": str(self.home), "BULKEXIM_WORK_DIR": str(self.work_dir)} | self.environment | login.variables
        result = CliRunner().invoke(main, args, env=given)
        self.commands += 1
        self.masked += result.output.count("***")
        for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
            self.canaries.search(f"{login.name}, {self.mood}, {args[0]}, {name}", text.encode())
        self.files("afterwards")
        if result.exit_code not in codes:
            self.unexpected.append(f"{login.name}, {self.mood}, {' '.join(args[:2])}: {result.exit_code}")

    @property
    def environment(self) -> dict[str, str]:
        """Secrets that are there for others: storage, and servers that bulkexim starts."""
        names = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY")
        return {name: self.canaries[name] for name in names}


def search_for_secrets(ground: Ground, trials: Sequence[tuple[str, str]] = (), *, rounds: int = 1) -> Searched:
    """S1: migrate, plan, compare and ask, for each pair of a mood of the servers and a way of giving a login."""
    began = time.monotonic()
    home = ground.home / "home"
    home.mkdir(parents=True)
    canaries = Canaries()
    search = _Search(home, canaries, Lies(canaries))
    foreign = [name for name in os.environ if name.startswith(("MLFLOW_TRACKING_", "BULKEXIM_"))]
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ))
        for name in foreign:
            del os.environ[name]
        stack.enter_context(_impatient())
        source = stack.enter_context(telling(ground.source, search.behave))
        destination = stack.enter_context(telling(ground.destination.url, search.behave))
        ways = {login.name: login for login in logins(home, canaries)}
        for number, (mood, way) in enumerate([*(trials or itertools.product(MOODS, ways))] * rounds):
            search.work_dir = ground.home / f"secrets-{number}"
            _trial(search, mood, ways[way], source, destination, ground.workspace("secrets"))
    return Searched(
        commands=search.commands,
        canaries=len(canaries.names),
        places=canaries.places,
        bytes=canaries.size,
        masked=search.masked,
        told=len(search.lies.told),
        cookies=tuple(search.cookies),
        leaks=tuple(sorted(set(canaries.leaks))),
        unexpected=tuple(search.unexpected),
        seconds=round(time.monotonic() - began, 1),
    )


def _trial(search: _Search, mood: str, login: Login, source: Teller, destination: Teller, workspace: str) -> None:
    for name, text in login.files.items():
        (search.home / name).parent.mkdir(exist_ok=True)
        (search.home / name).write_text(text)
    ends = ("--src-uri", login.address(source.url), "--dst-uri", login.address(destination.url))
    common = (*ends, "--dst-workspace", workspace, "--progress", "plain", *login.flags)
    search.mood = mood
    good = {"truthful": (0,), "declining": (3, 4), "failing": (3, 4, 5), "ending": (7,)}[mood]
    with installed(search.canaries) if login.plugins else nullcontext():
        search.run(login, "migrate-workspace", "--dry-run", "--json", *common, codes=(0, *good, 7, 5))
        search.run(login, "migrate-workspace", *common, codes=good)
        search.run(login, "migrate-workspace", "--json", "--verify", "content", *common, codes=good)
        search.run(login, "verify", "--json", "--level", "full", *common, codes=(*good, 4, 3))
        with _crashing(search, login):
            search.run(login, "migrate-workspace", *common, codes=(1,))
    if mood != "ending":
        for args in (("status",), ("status", "--failures"), ("status", "--failures", "--json"), ("id-map",)):
            search.run(login, *args, codes=(0,))
    for name in login.files:
        (search.home / name).unlink()


@contextmanager
def _crashing(search: _Search, login: Login) -> Iterator[None]:
    """Lets a migration meet a bug whose exception holds all that the process knows."""
    known = [*login.variables.values(), *login.flags, login.userinfo, *search.environment.values()]
    shown = [*known, *map(repr, known), *addresses(search.canaries).values(), *login.files.values()]
    with patch("bulkexim.engine.migration.transfer", side_effect=RuntimeError(f"{shown} {' '.join(shown)}")):
        yield


@contextmanager
def _impatient() -> Iterator[None]:
    """Lets nobody wait for a server that lies."""

    async def at_once(_: retry.Tries, seconds: float) -> None:
        await checkpoint()

    with patch.object(retry, "LOST_SECONDS", 0.0), patch.object(retry.Tries, "_pause", at_once):
        yield
