"""What each reply of a server means: the error, and the policy that it carries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NamedTuple

import httpx
import msgspec
import pytest

from bulkexim.config import Endpoint
from bulkexim.ends import server
from bulkexim.errors import (
    AlreadyExists,
    BulkeximError,
    CallError,
    FatalError,
    Lost,
    NoSuchEndpoint,
    NotFound,
    RacingDuplicate,
    Refused,
    ServerFault,
    SwitchedOff,
    Throttled,
    TimedOut,
    TooLarge,
    UsageError,
)
from bulkexim.http.replies import raise_for_reply
from bulkexim.http.retry import Patience

PAGE = "<!doctype html>\n<html><title>An error</title><p class=disabled>It is disabled, or something is.</html>"
HTML = {"content-type": "text/html; charset=utf-8"}
UNIQUE_SQLITE = "(sqlite3.IntegrityError) UNIQUE constraint failed: params.key, params.run_uuid"
UNIQUE_POSTGRES = "(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint"
LOCKED = "(sqlite3.OperationalError) database is locked"
BROKEN_OFF = "(psycopg2.OperationalError) server closed the connection unexpectedly"
NO_ARTIFACTS = (
    "Endpoint: /api/2.0/mlflow-artifacts/artifacts disabled due to the mlflow server running with --no-serve-artifacts"
)


class Policy(NamedTuple):
    """What the error says of the call: whether it was certainly not carried out, and whether repeating it may help."""

    definite: bool
    worth_repeating: bool


DECLINED = Policy(definite=True, worth_repeating=False)
NOT_YET = Policy(definite=True, worth_repeating=True)
UNKNOWN = Policy(definite=False, worth_repeating=True)


def mlflow(status: int, code: str, message: str = "Because.") -> httpx.Response:
    """Return a reply with MLflow's error body."""
    return httpx.Response(status, json={"error_code": code, "message": message, "sqlstate": "XX000"})


NO_NUL = "A string literal cannot contain NUL (0x00) characters."
NO_SOURCE = "Unable to fetch model from model URI source artifact location 'models:/m/1'.Error: Model Version (m, 1) {}"


def text(status: int, body: str = "", **headers: str) -> httpx.Response:
    """Return a reply without MLflow's error body."""
    return httpx.Response(status, text=body, headers=headers)


def page(status: int, **headers: str) -> httpx.Response:
    """Return the page of a proxy."""
    return httpx.Response(status, text=PAGE, headers=HTML | headers)


REPLIES = {
    "400": (mlflow(400, "INVALID_PARAMETER_VALUE"), Refused, DECLINED),
    "400 of a proxy": (page(400), Refused, DECLINED),
    "a taken name": (mlflow(400, "RESOURCE_ALREADY_EXISTS"), AlreadyExists, DECLINED),
    "an equal call in SQLite": (mlflow(400, "BAD_REQUEST", UNIQUE_SQLITE), RacingDuplicate, NOT_YET),
    "an equal call in PostgreSQL": (mlflow(400, "BAD_REQUEST", UNIQUE_POSTGRES), RacingDuplicate, NOT_YET),
    "another bad request": (mlflow(400, "BAD_REQUEST", "(sqlite3.DataError) too long"), Refused, DECLINED),
    "no free database connection": (mlflow(400, "BAD_REQUEST", "QueuePool limit of size 5"), Throttled, NOT_YET),
    "403": (mlflow(403, "PERMISSION_DENIED"), Refused, DECLINED),
    "403 of a proxy": (page(403), Refused, DECLINED),
    "404 of an object": (mlflow(404, "RESOURCE_DOES_NOT_EXIST"), NotFound, DECLINED),
    "404 of a route": (page(404), NoSuchEndpoint, DECLINED),
    "404 of a native route": (httpx.Response(404, json={"detail": "Not Found"}), NoSuchEndpoint, DECLINED),
    "404 of a stub": (text(404), NoSuchEndpoint, DECLINED),
    "404 of another product": (mlflow(404, "ENDPOINT_NOT_FOUND"), NoSuchEndpoint, DECLINED),
    "405": (page(405), NoSuchEndpoint, DECLINED),
    "408": (text(408), Lost, UNKNOWN),
    "409": (mlflow(409, "RESOURCE_CONFLICT"), Refused, DECLINED),
    "413": (page(413), TooLarge, DECLINED),
    "429": (text(429), Throttled, NOT_YET),
    "429 in JSON": (mlflow(429, "REQUEST_LIMIT_EXCEEDED"), Throttled, NOT_YET),
    "500 in JSON": (mlflow(500, "INTERNAL_ERROR"), ServerFault, UNKNOWN),
    "500 for text that PostgreSQL cannot hold": (mlflow(500, "INTERNAL_ERROR", NO_NUL), Refused, DECLINED),
    "500 for a source that leads nowhere": (
        mlflow(500, "INTERNAL_ERROR", NO_SOURCE.format("not found")),
        Refused,
        DECLINED,
    ),
    "500 for a source, for now": (mlflow(500, "INTERNAL_ERROR", NO_SOURCE.format("locked")), ServerFault, UNKNOWN),
    "500": (page(500), ServerFault, UNKNOWN),
    "501": (mlflow(501, "NOT_IMPLEMENTED"), NoSuchEndpoint, DECLINED),
    "502": (page(502), ServerFault, UNKNOWN),
    "503 of a lock": (mlflow(503, "TEMPORARILY_UNAVAILABLE", LOCKED), Throttled, NOT_YET),
    "503 of a broken database": (mlflow(503, "TEMPORARILY_UNAVAILABLE", BROKEN_OFF), ServerFault, UNKNOWN),
    "503 of a proxy": (page(503), ServerFault, UNKNOWN),
    "503 with a time": (page(503, **{"retry-after": "3"}), Throttled, NOT_YET),
    "503 with no time to wait": (page(503, **{"retry-after": "0"}), Throttled, NOT_YET),
    "504": (page(504), TimedOut, UNKNOWN),
}


def meaning(response: httpx.Response, url: str = "http://mlflow.example") -> BulkeximError:
    """Return what a reply is raised as."""
    response.request = httpx.Request("GET", url, headers={"authorization": "Bearer t0ken"})
    with pytest.raises(BulkeximError) as raised:
        raise_for_reply(response, "source GET api")
    return raised.value


@pytest.mark.parametrize(("response", "kind", "policy"), REPLIES.values(), ids=REPLIES)
def test_a_reply_is_an_error_of_one_object_with_its_policy(
    response: httpx.Response, kind: type[CallError], policy: Policy
) -> None:
    error = meaning(response)
    assert type(error) is kind
    assert isinstance(error, CallError)
    assert (error.definite, error.worth_repeating) == policy
    assert error.status == response.status_code
    assert error.cause
    assert str(error).startswith("source GET api: ")
    assert "<" not in str(error)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_is_no_error(status: int) -> None:
    raise_for_reply(text(status, "OK"), "source GET api")


FATAL = {
    "401": (text(401, "You are not authenticated."), "the login was refused"),
    "401 in JSON": (mlflow(401, "UNAUTHENTICATED"), "the login was refused"),
    "a host name": (text(403, "Invalid Host header - possible DNS rebinding attack detected"), "--allowed-hosts"),
    "no workspaces": (mlflow(500, "FEATURE_DISABLED", "Workspaces are off."), "Workspaces are off."),
    "another host": (
        text(302, location="https://elsewhere.example/login"),
        "redirects to https://elsewhere.example/login",
    ),
    "another path": (text(308, location="/mlflow/"), "redirects to /mlflow/"),
    "nowhere": (text(301), "redirects"),
}


@pytest.mark.parametrize(("response", "sentence"), FATAL.values(), ids=FATAL)
def test_a_reply_that_every_call_would_get_ends_the_run_with_advice(response: httpx.Response, sentence: str) -> None:
    error = meaning(response)
    assert type(error) is FatalError
    assert sentence in str(error)
    assert error.remedy


@pytest.mark.parametrize(
    "response",
    [httpx.Response(503, text=NO_ARTIFACTS, headers=HTML), mlflow(503, "FEATURE_DISABLED", NO_ARTIFACTS)],
    ids=["in a sentence", "in an error of MLflow"],
)
def test_an_artifact_service_that_is_switched_off_refuses_files_and_nothing_else(response: httpx.Response) -> None:
    error = meaning(response, "http://mlflow.example/api/2.0/mlflow-artifacts/artifacts/a.txt")
    assert (type(error), getattr(error, "temporary", None)) == (SwitchedOff, False)
    assert "Start the source with --serve-artifacts" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("30", 30.0), ("0.5", 0.5), (" 7 ", 7.0), ("-4", 0.0), ("soon", None), ("", None), ("inf", None), ("nan", None)],
)
def test_the_time_of_a_throttling_reply_is_read_in_seconds(header: str, seconds: float | None) -> None:
    error = meaning(text(429, **{"retry-after": header}))
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


@pytest.mark.parametrize(("minutes", "nearly"), [(2, 120.0), (-2, 0.0)])
def test_the_time_of_a_throttling_reply_is_read_from_a_date(minutes: int, nearly: float) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    error = meaning(text(429, **{"retry-after": date}))
    assert isinstance(error, Throttled)
    assert error.retry_after == pytest.approx(nearly, abs=30.0)


def test_a_long_message_is_cut_and_put_on_one_line() -> None:
    sentence = str(meaning(mlflow(400, "INVALID_PARAMETER_VALUE", "word\n  " * 1000)))
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert sentence.count("word") > 10


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"error_code": ""}', b'{"error_code": null}', b'{"error_code": "\xff"}']
)
def test_a_body_that_is_no_error_of_mlflow_is_not_taken_for_one(body: bytes) -> None:
    assert type(meaning(httpx.Response(404, content=body))) is NoSuchEndpoint


def test_a_redirect_is_told_without_the_secrets_of_its_address() -> None:
    error = meaning(text(302, location="https://user:pa55word@elsewhere.example/in?token=pa55word#pa55word"))
    assert "pa55word" not in str(error)
    assert "https://elsewhere.example/in" in str(error)


async def _failed(uri: str, reply: httpx.Response | httpx.TransportError) -> BulkeximError:
    """Return the error of connecting to a server that always replies so, or is not reached for that reason."""

    def answer(request: httpx.Request) -> httpx.Response:
        if isinstance(reply, httpx.TransportError):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    endpoint = Endpoint(uri=uri, token="t0ken")
    with pytest.raises(BulkeximError) as raised:
        async with server.connected(endpoint, "source", transport=httpx.MockTransport(answer)):
            pass
    return raised.value


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is waited for."""
    monkeypatch.setattr(server, "FIRST_PATIENCE", Patience(seconds=0.0, fault_tries=1))


FIRST_REPLIES = {
    "no MLflow": page(404),
    "not JSON": text(200, "2.22.1"),
    "a refused login": text(401),
    "a redirect": text(302, location="/elsewhere"),
    "a refusal": mlflow(403, "PERMISSION_DENIED"),
    "a failure": page(500),
    "no connection": httpx.ConnectError("refused"),
    "no reply": httpx.ReadTimeout("too late"),
}


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("reply", FIRST_REPLIES.values(), ids=FIRST_REPLIES)
async def test_no_sentence_about_a_server_holds_the_secrets_of_its_address(
    reply: httpx.Response | httpx.TransportError,
) -> None:
    error = await _failed("http://user:pa55word@server.example", reply)
    assert "pa55word" not in str(error)
    assert "t0ken" not in str(error)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "uri",
    [
        "ftp://user:pa55word@server.example",
        "http://user:pa55word@:5000",
        "http://user:pa55word/with-a-slash@server.example",
        "http://server.example/?token=pa55word",
        "http://server.example/#pa55word",
    ],
)
async def test_no_sentence_about_an_unusable_address_holds_its_secrets(uri: str) -> None:
    error = await _failed(uri, httpx.UnsupportedProtocol("never asked"))
    assert type(error) is UsageError
    assert "pa55word" not in str(error)


def test_an_endpoint_shows_no_secret() -> None:
    endpoint = Endpoint(
        uri="http://user:pa55word@server.example", username="user", password="pa55word", token="pa55word"
    )
    assert "pa55word" not in repr(endpoint)
    assert "pa55word" not in repr(Endpoint(uri="http://server.example?token=pa55word"))
    assert "server.example" in repr(endpoint)
    assert msgspec.structs.replace(endpoint, uri="http://server.example").password == "pa55word"
