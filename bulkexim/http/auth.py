"""Who we are at a server: headers, plugins and TLS, read as MLflow's own client reads them."""

from __future__ import annotations

import configparser
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies_environment

import httpx

from bulkexim.config import Endpoint
from bulkexim.errors import UsageError

WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
CREDENTIALS_FILE = Path("~/.mlflow/credentials")

#: Headers of a request that say nothing of who sends it; any other may be a plugin's login.
_OPEN = frozenset(
    {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length", "content-type"}
    | {"transfer-encoding", WORKSPACE_HEADER.lower()}
)
#: Letters of the shortest header of a plugin that counts as a secret: "yes" and "team-a" do not.
_SHORTEST = 8


def headers(endpoint: Endpoint) -> dict[str, str]:
    """Return the headers that stay the same for every request: login and workspace.

    :raises UsageError: the login fits in no header
    """
    chosen: dict[str, str] = {}
    if endpoint.workspace:
        chosen[WORKSPACE_HEADER] = endpoint.workspace
    username, password = _login(endpoint)
    if username and password:
        chosen["Authorization"] = "Basic " + b64encode(f"{username}:{password}".encode()).decode()
    elif endpoint.token:
        chosen["Authorization"] = f"Bearer {endpoint.token}"
    _check(chosen, "Check the login.")
    return chosen


def plugin_headers() -> Callable[[], dict[str, str]]:
    """Return what asks MLflow's header plugins, once for each request: a token of theirs may be renewed meanwhile.

    As in ``mlflow.tracking.request_header.registry``, the values of two plugins for one header are joined.

    :raises UsageError: when called, a value fits in no header
    """
    providers = [point.load()() for point in entry_points(group="mlflow.request_header_provider")]

    def asked() -> dict[str, str]:
        found: dict[str, str] = {}
        for provider in providers:
            if provider.in_context():
                for name, value in provider.request_headers().items():
                    found[name] = f"{found[name]} {value}" if name in found else value
        _check(found, "Check the header plugins of MLflow that are installed.")
        return found

    return asked


def _check(chosen: Mapping[str, str], remedy: str) -> None:
    for name, value in chosen.items():
        if not (value.isascii() and value.isprintable()):
            raise UsageError(f"The value for the header {name} holds characters that no header can.", remedy)


def secrets(sent: Mapping[str, str]) -> Iterator[str]:
    """Yield what nobody is told of the headers of a request."""
    for name, value in sent.items():
        if name.lower() == "authorization":
            yield value.partition(" ")[2] or value
            yield from _password(value)
        elif name.lower() not in _OPEN and len(value) >= _SHORTEST:
            yield value


def _password(authorization: str) -> Iterator[str]:
    scheme, _, login = authorization.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            # A token may stand alone, as the name of a user without a password.
            plain = b64decode(login).decode()
            user, _, password = plain.partition(":")
            yield from (plain, password or user)


def all_secrets(endpoint: Endpoint) -> Iterator[str]:
    """Yield every secret with which ``endpoint`` may be entered, whether a request bears it or not."""
    yield from filter(None, (endpoint.password, endpoint.token))
    yield from secrets(plugin_headers()())
    yield from secrets(headers(endpoint))
    for address in (endpoint.uri, *getproxies_environment().values()):
        if login := (address.partition("://")[2] or address).rpartition("@")[0]:
            user, _, password = login.partition(":")
            yield from {password or user, unquote(password or user)}
            yield b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()


def tls(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """Return how connections are secured.

    :raises UsageError: a certificate file cannot be used
    """
    if not (endpoint.insecure_tls or endpoint.server_cert_path or endpoint.client_cert_path):
        return True
    try:
        context = ssl.create_default_context(cafile=endpoint.server_cert_path)
        if endpoint.client_cert_path:
            context.load_cert_chain(endpoint.client_cert_path)
    except OSError as error:
        paths = " or ".join(filter(None, (endpoint.server_cert_path, endpoint.client_cert_path)))
        raise UsageError(f"{paths}: cannot be used as a certificate ({error}).", "Check the file.") from error
    if endpoint.insecure_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def plugin(endpoint: Endpoint) -> httpx.Auth | None:
    """Return the login of the plugin that ``MLFLOW_TRACKING_AUTH`` names (``mlflow.request_auth_provider``).

    :raises UsageError: no such plugin is installed
    """
    if not endpoint.auth:
        return None
    for point in entry_points(group="mlflow.request_auth_provider"):
        provider = point.load()()
        if provider.get_name() == endpoint.auth:
            return _RequestsAuth(provider.get_auth())
    raise UsageError(f"No installed plugin provides the login {endpoint.auth!r}.", "Install it beside bulkexim.")


class _RequestsAuth(httpx.Auth):
    """Lets a login written for the requests library sign our requests."""

    requires_request_body = True

    def __init__(self, auth: Any) -> None:
        self._auth = auth

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        import requests  # noqa: PLC0415 - such plugins bring it with them

        theirs = requests.Request(request.method, str(request.url), headers=dict(request.headers)).prepare()
        theirs.body = request.content
        signed = self._auth(theirs)
        request.headers.update({name: str(value) for name, value in signed.headers.items()})
        yield request


def _login(endpoint: Endpoint) -> tuple[str | None, str | None]:
    if endpoint.username and endpoint.password:
        return endpoint.username, endpoint.password
    path = CREDENTIALS_FILE.expanduser()
    if endpoint.token or not path.is_file():
        return endpoint.username, endpoint.password
    stored = configparser.ConfigParser(interpolation=None)
    stored.read(path, encoding="utf-8")
    section = stored["mlflow"] if stored.has_section("mlflow") else {}
    return (
        endpoint.username or section.get("mlflow_tracking_username"),
        endpoint.password or section.get("mlflow_tracking_password"),
    )
