"""Who we are at a server: the headers that it really gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bulkexim.config import Endpoint
from bulkexim.ends.server import connected
from bulkexim.errors import FatalError, UsageError
from bulkexim.http import auth
from tests.support.servers import ADMIN, Servers

pytestmark = pytest.mark.anyio


@dataclass
class Recorder:
    """A server that answers as MLflow does at the start, and keeps the headers it was sent."""

    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/version":
            return httpx.Response(200, text="3.17.2")
        return httpx.Response(200, json={})

    async def headers(self, **login: Any) -> httpx.Headers:
        endpoint = Endpoint(uri="http://mlflow.example", **login)
        async with connected(endpoint, "source", transport=httpx.MockTransport(self)):
            return self.requests[-1].headers


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "credentials"
    monkeypatch.setattr(auth, "CREDENTIALS_FILE", path)
    return path


@pytest.fixture(autouse=True)
def _no_credentials_of_the_user(credentials: Path) -> None:
    assert not credentials.exists()


async def test_user_and_password_win_over_a_token_as_in_mlflow() -> None:
    headers = await Recorder().headers(username="ann", password="secret", token="unused")
    assert headers["authorization"] == httpx.BasicAuth("ann", "secret")._auth_header


async def test_a_token_is_sent_as_a_bearer() -> None:
    assert (await Recorder().headers(token="abc"))["authorization"] == "Bearer abc"


async def test_the_credentials_file_of_mlflow_is_read_where_nothing_else_is_given(credentials: Path) -> None:
    credentials.write_text("[mlflow]\nmlflow_tracking_username = bob\nmlflow_tracking_password = 100%sure\n")
    assert (await Recorder().headers())["authorization"] == httpx.BasicAuth("bob", "100%sure")._auth_header
    assert (await Recorder().headers(token="abc"))["authorization"] == "Bearer abc"


class HeaderPlugin:
    """An ``mlflow.request_header_provider`` whose token is a new one each time that it is asked."""

    def __init__(self) -> None:
        self._asked = 0

    def in_context(self) -> bool:
        return True

    def request_headers(self) -> dict[str, str]:
        self._asked += 1
        return {"x-team": "blue", "Authorization": f"Bearer {self._asked}"}


class AuthPlugin:
    """An ``mlflow.request_auth_provider``, which signs as the requests library lets it."""

    def get_name(self) -> str:
        return "signing"

    def get_auth(self) -> Any:
        def sign(request: Any) -> Any:
            request.headers["x-signature"] = f"{request.method} {request.path_url} {len(request.body or b'')}"
            return request

        return sign


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"mlflow.request_header_provider": HeaderPlugin, "mlflow.request_auth_provider": AuthPlugin}

    def entry_points(group: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(load=lambda: found[group])]

    monkeypatch.setattr(auth, "entry_points", entry_points)


@pytest.mark.usefixtures("plugins")
async def test_header_plugins_of_mlflow_add_to_every_request() -> None:
    assert (await Recorder().headers())["x-team"] == "blue"


@pytest.mark.usefixtures("plugins")
async def test_header_plugins_are_asked_for_each_request_for_their_token_may_be_renewed() -> None:
    recorder = Recorder()
    await recorder.headers()
    sent = [request.headers["authorization"] for request in recorder.requests]
    assert len(sent) > 1
    assert sent == [f"Bearer {asked}" for asked in range(1, len(sent) + 1)]


@pytest.mark.usefixtures("plugins")
async def test_a_login_that_is_given_wins_over_that_of_a_header_plugin_as_in_mlflow() -> None:
    assert (await Recorder().headers(token="abc"))["authorization"] == "Bearer abc"


@pytest.mark.usefixtures("plugins")
async def test_an_auth_plugin_of_mlflow_signs_every_request() -> None:
    recorder = Recorder()
    await recorder.headers(auth="signing")
    assert [request.headers["x-signature"] for request in recorder.requests] == [
        "POST /api/2.0/mlflow/experiments/search 52",
        "GET /version 0",
        "GET /api/3.0/mlflow/server-info 0",
    ]


@pytest.mark.usefixtures("plugins")
async def test_an_auth_plugin_that_is_not_installed_is_named() -> None:
    with pytest.raises(UsageError, match="'other'"):
        await Recorder().headers(auth="other")


async def test_a_login_that_no_header_can_hold_is_refused_without_showing_it() -> None:
    with pytest.raises(UsageError) as raised:
        await Recorder().headers(token="to\nken")
    assert "ken" not in str(raised.value)


async def test_a_real_server_with_logins_lets_us_in_and_keeps_others_out(servers: Servers) -> None:
    user, password = ADMIN
    with servers.start(basic_auth=True) as server:
        async with connected(Endpoint(uri=server.url, username=user, password=password), "source") as source:
            assert source.capabilities.version >= (3, 10)
        with pytest.raises(FatalError, match="login was refused"):
            async with connected(Endpoint(uri=server.url, username=user, password="wrong"), "source"):
                pass
